"""What is done to the domain: each deed in a thread of its own, with one result."""
