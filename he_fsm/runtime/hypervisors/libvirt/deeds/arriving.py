"""
Take the lease for a domain that has arrived by a migration, and let it execute.

libvirt is ordered to leave the domain paused at the end of a move, on the target. By then its
source has ended, or will: that host's holder leaves the lease for this one. Where the source goes
on instead, because it did not hear how the move went, the lease stays there, and the copy here is
ended.
"""

from __future__ import annotations

import logging
from typing import Final

from he_fsm.errors import HypervisorError, LockspaceError
from he_fsm.runtime.hypervisors.libvirt.deeds.holding import begun, let_execute
from he_fsm.runtime.hypervisors.libvirt.here import Arrival, Here
from he_fsm.runtime.hypervisors.libvirt.holder.begun import Wanted
from he_fsm.runtime.ports import VmIdentity

_log = logging.getLogger(__name__)

# The source's libvirt ends its domain in 2 s, and the holder there waits for the word of its agent
# that it has moved for 5 s at most (`holder.process`); with room for a machine that is busy.
_WANTED: Final = Wanted(is_moved=True, within_s=15.0)
_LOOK_S: Final = 0.1


def receive(here: Here, vm: VmIdentity) -> None:
    """Begin to wait for the end of the migration by which the process *vm* arrives."""
    with here.guard:
        if here.arrival is not None:
            return
        arrival = here.arrival = Arrival()
    here.begin("libvirt-arrive", lambda: _carry_out(here, arrival, vm))


def _carry_out(here: Here, arrival: Arrival, vm: VmIdentity) -> None:
    try:
        # Begun now, it is ready when the memory is here.
        with begun(here, arrival, vm) as holder:
            if _has_arrived(here, arrival, vm):
                let_execute(here, arrival, holder, vm, _WANTED)
    except (HypervisorError, LockspaceError) as error:
        _end(here, vm, str(error))
    finally:
        here.arrival = None
        here.stir()


def _has_arrived(here: Here, arrival: Arrival, vm: VmIdentity) -> bool:
    """Wait for the end of the migration; False: it has failed, or the next agent waits for it."""
    while not arrival.is_complete.wait(_LOOK_S):
        if here.closing.is_set() or not vm.is_process_of(here.access.identity()):
            return False
    return True


def _end(here: Here, vm: VmIdentity, why: str) -> None:
    _log.error("the domain that arrives does not execute here: %s", why)
    try:
        # safety: what is left could be resumed by anybody.
        here.end(vm, "there is no lease for the domain that has arrived")
    except HypervisorError as error:
        _log.error("%s", error)
