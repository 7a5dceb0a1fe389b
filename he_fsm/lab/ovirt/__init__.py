"""Hosts of a sanlock lab with a vdsm of the lab each, which runs their VM."""
