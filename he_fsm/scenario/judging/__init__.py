"""Judging a run: what was observed, when a condition held, what was counted."""
