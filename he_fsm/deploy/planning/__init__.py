"""What follows from the answers, as values: files, stages, and who may join."""
