"""The commands: arguments, calls and output, and no decisions."""
