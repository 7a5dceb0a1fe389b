"""How the sanlock daemon is talked to, and what its answers mean."""
