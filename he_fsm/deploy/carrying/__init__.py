"""Carrying the stages of a deployment out on this machine, and undoing what they have made."""
