"""Campaigns: many runs of a cluster with faults at random, and what they say of its design."""
