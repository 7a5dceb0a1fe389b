"""Pages that show a cluster in the browser."""
