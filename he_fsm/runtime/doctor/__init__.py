"""What `he-fsm doctor` looks at around the daemons: units, firewall, clocks, mail server."""
