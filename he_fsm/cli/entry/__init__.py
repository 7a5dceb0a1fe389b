"""How `he-fsm` begins: its help, which waits for nothing, and its commands, one at a time."""
