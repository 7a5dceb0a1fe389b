"""What is behind the wire of a lab's vdsm: one host's real VM, under a real lease of sanlock."""
