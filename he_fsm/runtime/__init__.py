"""The thin adapters: the only place that does I/O, reads a clock, sleeps or logs."""
