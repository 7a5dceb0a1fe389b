"""
A hypervisor whose VM is a domain of libvirt; implements `ports.Hypervisor`.

libvirt starts, moves and ends the domain. Its sanlock plug-in takes the engine's lease for it, or a
holder of he_fsm's does. Whether that is so is verified before the domain executes, and again
whenever it begins to: by sanlock, not by libvirt. In the run folder of its host the adapter keeps

    vm.json       what is known of the domain's process and its holder, for the next agent
    vm.log        what the holder says

A daemon that hangs makes the VM's state UNKNOWN, and nothing here waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from he_fsm.runtime.hypervisors.libvirt.deeds import moving, starting, stopping
from he_fsm.runtime.hypervisors.libvirt.here import Here, LibvirtSettings
from he_fsm.runtime.hypervisors.libvirt.host import LibvirtHost
from he_fsm.runtime.ports import LeaseSight, Observation, Peer
from he_fsm.runtime.service.supervised import SupervisedThread
from he_fsm.snapshot import VmState

# A new agent knows by then how the domain is; else it says that it does not (seconds).
_ADOPTED_S: Final = 2.0
# How long the end of the agent waits for deeds under way, and then for its own thread (seconds).
_DEEDS_S: Final = 15.0
_CLOSED_S: Final = 5.0
# How often it is looked whether there is a new definition (seconds).
_RENEW_S: Final = 30.0


class LibvirtHypervisor:
    """
    The engine VM as a domain of libvirt.

    Methods may be called from any thread.
    """

    def __init__(self, settings: LibvirtSettings, sight: LeaseSight) -> None:
        """Look after the domain; one that runs is adopted."""
        self._here = Here(settings, sight)
        # Whatever libvirt says or does not say: a domain whose holder has ended is ended.
        self._here.known.read()
        known = threading.Event()
        self._here.wake = known.set
        self._thread = SupervisedThread("libvirt", LibvirtHost(self._here).follow)
        self._thread.start()
        self._renewing = SupervisedThread("definition", self._renew_for_ever)
        if self._here.definition is not None:
            self._renewing.start()
        known.wait(_ADOPTED_S)
        self._here.wake = _nothing

    def _renew_for_ever(self) -> None:
        """Keep this host's copy of the shared definition new, for when the storage is away."""
        here = self._here
        while here.definition is not None:
            here.definition.renew()
            if here.closed.wait(_RENEW_S):
                return

    def observe(self) -> Observation:
        """Return the domain as it was last seen, and how deeds have ended."""
        return self._here.observation()

    def start(self) -> None:
        """Order the domain's start, with the engine's lease."""
        starting.start(self._here)

    def shut_down(self) -> None:
        """Order the power button to be pressed; a paused guest does not see it."""
        stopping.shut_down(self._here)

    def power_off(self) -> None:
        """Order the domain's end; one that only arrives is its source's."""
        stopping.power_off(self._here)

    def migrate(self, peer: Peer) -> None:
        """Order the domain's migration to the host *peer*."""
        moving.migrate(self._here, peer)

    def cancel_migration(self) -> None:
        """Order the end of a migration."""
        moving.cancel(self._here)

    def give_up_arrival(self) -> None:
        """Order the end of a domain that only arrives."""
        stopping.give_up_arrival(self._here)

    def watch(self, wake: Callable[[], None]) -> None:
        """Call *wake* whenever something about the domain changes."""
        self._here.wake = wake

    def close(self) -> None:
        """Watch no more; a domain that executes runs on."""
        here = self._here
        here.wake = _nothing
        here.closing.set()
        here.join(_DEEDS_S)
        here.closed.set()
        here.stir()
        for thread in (self._thread, self._renewing):
            thread.close()
            thread.join(_CLOSED_S)
        here.known.watch_no_holder()
        here.publish(VmState.UNKNOWN, "nobody looks after the domain here any more")


def _nothing() -> None:
    """Wake nobody."""
