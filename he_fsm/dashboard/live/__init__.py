"""The page that shows the clusters live: its stream of changes, and what can be asked of it."""
