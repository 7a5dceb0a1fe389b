"""Shared storage: the whiteboard's file, and the process that alone touches it."""
