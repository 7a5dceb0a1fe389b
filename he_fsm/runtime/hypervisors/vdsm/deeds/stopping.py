"""End the VM: by its guest, or at once; and give up one that only arrives."""

from __future__ import annotations

import logging
import time
from typing import Final

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.vdsm.deeds.moving import cancel
from he_fsm.runtime.hypervisors.vdsm.here import Here
from he_fsm.snapshot import VmState

_log = logging.getLogger(__name__)

# In these the guest does not see that it is to shut down.
_BLIND: Final = (VmState.PAUSED, VmState.ARRIVING, VmState.ABSENT)
# vdsm asks the guest's agents first, and presses the power button when their time is up: QEMU's
# agent has `timeout`, oVirt's `delay` and `timeout`. With oVirt's own 120 s the button would come
# when the VM is powered off already. Source: vdsm 4.50.7, `virt/vmpowerdown.py`.
_DELAY_S: Final = 10
_TIMEOUT_S: Final = 30
_MESSAGE: Final = "VM is shutting down!"
# A start or a migration that is under way has ended by then (seconds).
_DEEDS_S: Final = 15.0
_LOOK_S: Final = 0.02


def shut_down(here: Here) -> None:
    """Order the guest to be asked to shut down."""
    if here.state not in _BLIND:
        here.begin("vdsm-shutdown", lambda: _ask(here))


def _ask(here: Here) -> None:
    """Ask it; a start is waited for, and a migration is given up before."""
    cancel(here)
    ends_at = time.monotonic() + _DEEDS_S
    while here.state in (VmState.STARTING, VmState.LEAVING) and time.monotonic() < ends_at:
        here.closing.wait(_LOOK_S)
    if here.state is VmState.ABSENT:
        return
    try:
        here.call("VM.shutdown", delay=_DELAY_S, message=_MESSAGE, timeout=_TIMEOUT_S)
    except HypervisorError as error:
        _log.warning("the guest is not asked to shut down: %s", error)


def power_off(here: Here) -> None:
    """Order the end of the VM; one that only arrives is its source's."""
    if here.state not in (VmState.ARRIVING, VmState.ABSENT):
        starting = here.starting
        if starting is not None:
            starting.is_unwanted = True
        departure = here.departure
        if departure is not None:
            departure.is_ended = True
        here.begin("vdsm-power-off", lambda: _end(here))


def give_up_arrival(here: Here) -> None:
    """Order the end of a VM that arrives and does not execute."""
    if here.state is VmState.ARRIVING:
        here.begin("vdsm-give-up", lambda: _end(here))


def _end(here: Here) -> None:
    starting = here.starting
    if starting is not None and not starting.is_created:
        # The start itself ends before vdsm is told.
        return
    vm = here.access.identity()
    try:
        try:
            here.destroy()
        except HypervisorError as error:
            _log.warning("vdsm does not end the VM, its process is killed: %s", error)
        if vm is not None and vm.is_process_of(here.access.identity()):
            here.end(vm, "it is powered off")
    except HypervisorError as error:
        _log.error("the VM is not powered off: %s", error)
