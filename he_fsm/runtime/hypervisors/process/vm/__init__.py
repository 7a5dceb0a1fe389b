"""The embedded VM itself: the program that its process runs, and what that is made of."""
