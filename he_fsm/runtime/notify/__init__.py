"""Notifications: which events, by which channels, and never at the loop's expense."""
