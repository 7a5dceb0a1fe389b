"""The cluster in the browser: `he-fsm dashboard`, one process that serves pages."""
