"""A vdsm for tests, and for people without oVirt: the real wire protocol on this machine."""
