"""
Hosts with a sanlock daemon and a mount each; what runs their VM is the matter of `qemu`, `libvirt`.

Only `needs` and `release` work without the extras.
"""
