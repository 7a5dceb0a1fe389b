"""Leases of one machine: kernel locks and small files, without any daemon."""
