"""What runs under the engine's lease and is no VM: what the kinds of programs and units share."""
