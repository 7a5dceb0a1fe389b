"""Output of the commands: text, tables, progress bars, pages and pictures."""
