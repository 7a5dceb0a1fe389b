"""The commands: arguments, calls and output; nothing else."""
