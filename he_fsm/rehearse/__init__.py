"""Scenarios on real daemons of this machine: sets hosts up, applies faults, observes, judges."""
