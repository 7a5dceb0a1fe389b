"""What happens in a simulated world: faults, daemons, renewals, restarts, suspended hosts."""
