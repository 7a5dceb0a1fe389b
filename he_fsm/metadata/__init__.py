"""The whiteboard's format: bytes to records and back. Opens no file."""
