"""What the agent orders of vdsm, each deed in a thread of its own."""
