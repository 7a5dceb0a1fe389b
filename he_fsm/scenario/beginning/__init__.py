"""Where a scenario begins that starts from the whiteboard of a real cluster."""
