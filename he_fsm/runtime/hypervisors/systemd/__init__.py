"""The hypervisor whose engine is a unit of systemd: started, watched and ended by D-Bus."""
