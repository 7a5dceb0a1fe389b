"""Exhaustive exploration of a small cluster, on the real decisions and the real codec."""
