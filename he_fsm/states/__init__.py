"""The machine's states: one module each, joined into the one table."""
