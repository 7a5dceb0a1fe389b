"""End the domain: by its power button, or at once; and give up one that only arrives."""

from __future__ import annotations

import logging
import time
from typing import Final

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.libvirt.deeds.moving import cancel
from he_fsm.runtime.hypervisors.libvirt.here import Here
from he_fsm.runtime.hypervisors.vm_file import Phase
from he_fsm.snapshot import VmState

_log = logging.getLogger(__name__)

# In these the guest does not see its power button.
_BLIND: Final = (VmState.PAUSED, VmState.ARRIVING, VmState.ABSENT)
# libvirt lets QEMU close its disks; a process that hangs is killed then (seconds).
_GENTLE_S: Final = 2.0
# A start or a migration that is under way has ended by then (seconds).
_DEEDS_S: Final = 15.0
_LOOK_S: Final = 0.02


def shut_down(here: Here) -> None:
    """Order the power button to be pressed."""
    if here.state in _BLIND:
        return
    here.usable()
    here.begin("libvirt-shutdown", lambda: _press(here))


def _press(here: Here) -> None:
    """Press it; a start is waited for, and a migration is given up before."""
    cancel(here)
    ends_at = time.monotonic() + _DEEDS_S
    while here.state in (VmState.STARTING, VmState.LEAVING) and time.monotonic() < ends_at:
        here.closing.wait(_LOOK_S)
    vm = here.access.identity()
    if vm is None:
        return
    try:
        connection = here.usable()
        domain = here.domain(connection)
        connection.call("press the power button", domain.shutdown)
    except HypervisorError as error:
        _log.warning("the power button can't be pressed: %s", error)
        return
    # libvirt itself notices nothing before the guest has ended.
    here.known.note(vm, phase=Phase.STOPPING)


def power_off(here: Here) -> None:
    """Order the end of the domain; one that only arrives is its source's."""
    if here.state not in (VmState.ARRIVING, VmState.ABSENT):
        starting = here.starting
        if starting is not None:
            starting.is_unwanted = True
        here.begin("libvirt-power-off", lambda: _end(here))


def give_up_arrival(here: Here) -> None:
    """Order the end of a domain that arrives and does not execute."""
    if here.state is VmState.ARRIVING:
        here.begin("libvirt-give-up", lambda: _end(here))


def _end(here: Here) -> None:
    starting = here.starting
    vm = here.access.identity()
    if vm is None or (starting is not None and not starting.takes_lease):
        # The start itself ends what it has made.
        return
    try:
        if starting is None:
            try:
                connection = here.usable()
                connection.destroy(here.domain(connection), _GENTLE_S)
            except HypervisorError as error:
                _log.warning("libvirt does not end the domain, its process is killed: %s", error)
        if vm.is_process_of(here.access.identity()):
            here.end(vm, "it is powered off")
    except HypervisorError as error:
        _log.error("the domain is not powered off: %s", error)
