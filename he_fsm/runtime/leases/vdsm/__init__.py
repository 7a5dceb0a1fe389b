"""The leases `vdsm`: sanlock's, in the lockspace of a storage domain that vdsm joins."""
