"""The process that keeps the engine's lease for a domain, where libvirt does not take it."""
