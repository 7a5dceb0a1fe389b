"""
Setting up hosts: `he-fsm deploy` and `he-fsm undeploy`.

`asking/` has the questions and what an answer may be, `planning/` what follows from the answers:
files and stages, as values. Both open nothing. `carrying/` carries the stages out, and undoes them.
"""
