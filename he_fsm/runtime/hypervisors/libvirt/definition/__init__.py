"""What a domain's XML and libvirt's driver configuration say, and what is wrong with them."""
