"""The broker: storage, leases, monitors and notifications of one host, for agent and tools."""
