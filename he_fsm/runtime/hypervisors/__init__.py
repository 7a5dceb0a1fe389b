"""What runs the engine VM on a host; each module is one hypervisor."""
