"""What a host measures of itself: one small module a fact, and the threads that ask for them."""
