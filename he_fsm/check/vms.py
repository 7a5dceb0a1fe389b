"""The VMs of a cluster: what becomes of one that moves, fails to, or ends."""

from __future__ import annotations

from he_fsm.check import layout as at
from he_fsm.check.layout import place
from he_fsm.check.local import MIGRATION_FAILED

# What stays true of a VM that begins to move, or fails to.
_LASTING = at.BOOTED | at.SICK | at.PAUSED | at.OUTRUN


class Vms:
    """What happens to the VMs of some hosts; each deed changes the numbers of a state."""

    def __init__(self, hosts: int) -> None:
        """Take the number of hosts."""
        self._places = [place(host) for host in range(hosts)]

    def begin_move(self, new: list[int], host: int, target: int) -> bool:
        """Begin a live migration, if the VM runs here."""
        p = self._places[host]
        vm = new[p + at.VM]
        if vm & at.PHASE != at.RUNNING:
            return False
        health = vm & _LASTING
        new[p + at.VM] = at.LEAVING | at.WAITS | health | target << at.TARGET
        return True

    def give_up_arrival(self, new: list[int], host: int) -> None:
        """End a host's wait for a VM; one whose source lives fails to move, and stays there."""
        new[self._places[host] + at.FLAGS] &= ~at.WAITS_FOR_VM
        for source, p in enumerate(self._places):
            if new[p + at.VM] >> at.TARGET == host + 1:
                self.move_fails(new, source)

    def end_vm(self, new: list[int], host: int) -> None:
        """End the VM's process, and release its lease if the storage can be written."""
        p = self._places[host]
        new[p + at.VM] = 0
        new[p + at.FLAGS] &= ~at.STRAY
        is_told = new[p + at.FLAGS] & at.POWER and not new[p + at.LAPSE]
        if new[at.OWNER] == host + 1 and is_told:
            new[at.OWNER] = 0

    def move_fails(self, new: list[int], host: int) -> None:
        """Fail a migration from a host; the VM runs on there."""
        p = self._places[host]
        new[p + at.VM] = at.RUNNING | new[p + at.VM] & _LASTING
        if new[p + at.FLAGS] & at.AGENT:
            new[p + at.RESULT] = MIGRATION_FAILED
