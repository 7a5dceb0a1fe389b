"""Idle time: which looks are left out, and what became of them."""
