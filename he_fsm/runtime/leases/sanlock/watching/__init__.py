"""What is kept an eye on beside the daemon: the VM, the watchdog, host ids."""
