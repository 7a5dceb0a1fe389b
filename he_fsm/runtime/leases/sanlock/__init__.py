"""Leases of sanlock: its daemon renews them, its watchdog resets the host that can't."""
