"""The hypervisor `vdsm`: the engine is a VM of oVirt's daemon, with a lease of sanlock."""
