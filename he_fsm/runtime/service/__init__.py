"""What every daemon has: arguments, signals, log, clocks, messages to systemd."""
