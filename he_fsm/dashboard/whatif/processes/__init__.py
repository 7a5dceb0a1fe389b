"""The processes in which questions of the what-if page are answered."""
