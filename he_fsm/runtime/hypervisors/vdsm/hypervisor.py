"""
A hypervisor whose VM is one of vdsm's; implements `ports.Hypervisor`.

vdsm starts, moves and ends the VM, with libvirt, whose sanlock plug-in takes the engine's lease.
Whether that is so is verified before and after each start, and again whenever the VM begins to
execute: by sanlock, not by vdsm. In the run folder of its host the adapter keeps

    vm.json       what is known of the VM's process, for the next agent

Statuses come by vdsm's events, and are asked for every 2 s, for events are lost where a connection
is. A vdsm that restarts (code 99), hangs or is gone makes the VM's state UNKNOWN, and nothing here
waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from he_fsm.runtime.hypervisors.vdsm.deeds import moving, starting, stopping
from he_fsm.runtime.hypervisors.vdsm.here import Connect, Here, VdsmSettings
from he_fsm.runtime.hypervisors.vdsm.host import VdsmHost
from he_fsm.runtime.ports import LeaseSight, Observation, Peer
from he_fsm.runtime.service.supervised import SupervisedThread
from he_fsm.snapshot import VmState

# A new agent knows by then how the VM is; else it says that it does not (seconds).
_ADOPTED_S: Final = 2.0
# How long the end of the agent waits for deeds under way (seconds).
_DEEDS_S: Final = 15.0


class VdsmHypervisor:
    """
    The engine VM as one of vdsm's.

    Methods may be called from any thread.
    """

    def __init__(self, settings: VdsmSettings, sight: LeaseSight, connect: Connect) -> None:
        """Look after the VM; one that runs is adopted. *connect* makes a client of vdsm."""
        self._here = Here(settings, sight, connect)
        self._here.known.read()
        known = threading.Event()
        self._here.wake = known.set
        self._thread = SupervisedThread("vdsm", VdsmHost(self._here).follow)
        self._thread.start()
        known.wait(_ADOPTED_S)
        self._here.wake = _nothing

    def observe(self) -> Observation:
        """Return the VM as it was last seen, and how deeds have ended."""
        return self._here.observation()

    def start(self) -> None:
        """Order the VM's start, with the engine's lease."""
        starting.start(self._here)

    def shut_down(self) -> None:
        """Order the guest to be asked to shut down; a paused guest is not asked."""
        stopping.shut_down(self._here)

    def power_off(self) -> None:
        """Order the VM's end; one that only arrives is its source's."""
        stopping.power_off(self._here)

    def migrate(self, peer: Peer) -> None:
        """Order the VM's migration to the host *peer*."""
        moving.migrate(self._here, peer)

    def cancel_migration(self) -> None:
        """Order the end of a migration."""
        moving.cancel(self._here)

    def give_up_arrival(self) -> None:
        """Order the end of a VM that only arrives."""
        stopping.give_up_arrival(self._here)

    def watch(self, wake: Callable[[], None]) -> None:
        """Call *wake* whenever something about the VM changes."""
        self._here.wake = wake

    def close(self) -> None:
        """Watch no more; a VM that executes runs on."""
        here = self._here
        if here.closed.is_set():
            return
        here.wake = _nothing
        here.closing.set()
        here.join(_DEEDS_S)
        here.closed.set()
        here.stir()
        self._thread.close()
        # A call under way ends at its deadline at the latest.
        self._thread.join()
        here.close()
        here.publish(VmState.UNKNOWN, "nobody looks after the VM here any more")


def _nothing() -> None:
    """Wake nobody."""
