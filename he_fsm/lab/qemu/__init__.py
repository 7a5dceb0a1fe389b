"""Hosts of a sanlock lab whose VM is a QEMU of its own, with no daemon around it."""
