"""Availability from single failures: regeneration cycles, drawn by kind and weighted."""
