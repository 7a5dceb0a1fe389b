"""Commands that ask about the live cluster, and change nothing on it."""
