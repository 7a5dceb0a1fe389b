"""`he-fsm deploy` and `he-fsm undeploy`: options, dialogue and what is printed."""
