"""The hypervisor of rehearsals: its VM is a process with the rules of a real VM."""
