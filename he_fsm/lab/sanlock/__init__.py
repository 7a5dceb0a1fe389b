"""
Hosts with a sanlock daemon, a mount and a QEMU each.

Only `needs` and `release` work without the extras.
"""
