"""Hosts, networks, mounts, guests and watchdogs of one machine; knows no scenario language."""
