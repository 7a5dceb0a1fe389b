"""A live cluster as people ask about it: its verdict in words, and what would become of it."""
