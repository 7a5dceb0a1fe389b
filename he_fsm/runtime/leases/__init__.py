"""Who may use a host id, and who may run the engine: lease managers."""
