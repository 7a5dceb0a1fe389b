"""How a QEMU VM moves to another host while it runs."""
