"""The agent: the loop, what it remembers on disk, and its process."""
