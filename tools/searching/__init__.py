"""Searching for scenarios that break a promise: `make search`."""
