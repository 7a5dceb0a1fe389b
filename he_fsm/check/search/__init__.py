"""Searching through all states of a cluster, alone or in a team, and the ways back from them."""
