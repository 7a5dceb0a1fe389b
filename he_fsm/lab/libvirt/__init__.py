"""Hosts with a libvirt daemon each, whose files are their own; needs root."""
