"""One question to the network each. A host loads only the one that its test asks."""
