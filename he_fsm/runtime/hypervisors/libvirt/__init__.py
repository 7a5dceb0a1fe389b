"""The hypervisor `libvirt`: the engine is a domain that libvirt knows, with a lease of sanlock."""
