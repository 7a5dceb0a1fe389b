"""QEMU without libvirt: one process a VM, spoken to over its monitor."""
