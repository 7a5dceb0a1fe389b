"""Files of this machine, whatever is in them: replaced as a whole, and locked."""
