"""
Start the VM, so that it never executes without the engine's lease.

vdsm starts it when it is told to, and libvirt's plug-in takes the lease before the VM executes, if
the definition names the lease and libvirt is told to have sanlock for its lock manager: both are
looked at before each start. vdsm's answer says only that it has begun: the rest is seen by the VM's
status, and by sanlock who has the lease. What vdsm says of a failed start differs between versions
and is never gone by.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from he_fsm.errors import HypervisorError, LockspaceError
from he_fsm.runtime.hypervisors.lock_manager import driver_findings
from he_fsm.runtime.hypervisors.vdsm.definition import VmDefinition, findings, load
from he_fsm.runtime.hypervisors.vdsm.here import Here, Starting
from he_fsm.runtime.hypervisors.vm_file import Phase
from he_fsm.runtime.ports import LeaseSeen
from he_fsm.runtime.vdsm.interface import VdsmError, VdsmSilentError, VdsmUnreachableError
from he_fsm.snapshot import Outcome, VmState

_log = logging.getLogger(__name__)

# Beyond what a dying owner's lease takes: QEMU's process is there, its disks are open (seconds).
_SLACK_S: Final = 60.0
# How often it is looked how far the VM has come, and how soon its process is found (seconds).
_LOOK_S: Final = 0.1
# sanlock frees the lease of a process that has ended within milliseconds, if it is not busy
# (seconds).
_LET_GO_S: Final = 5.0
# A VM that seems to execute without the lease is looked at so often before it is ended.
_ASKED: Final = 3
# An order without an answer is carried out by then, or never (seconds).
_LOST_S: Final = 30.0
_POWERED_OFF: Final = "powered off before it executed"


class _NoStartError(Exception):
    """The start has come to nothing, with an outcome."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome


def start(here: Here) -> None:
    """
    Order a start, unless a VM is here or is being started.

    Raises:
        HypervisorError: vdsm does not answer; an order that nobody gets is not kept for later.
    """
    with here.guard:
        if here.state is VmState.ARRIVING:
            here.tell(Outcome.START_REFUSED, "the VM arrives here by a migration")
            return
        if here.state is VmState.UNKNOWN:
            msg = f"the VM is not started: {here.observed.detail}"
            raise HypervisorError(msg)
        if here.starting is not None or here.state is not VmState.ABSENT:
            return
        starting = here.starting = Starting()
        here.publish(VmState.STARTING)
    here.begin("vdsm-start", lambda: _carry_out(here, starting))


def _carry_out(here: Here, starting: Starting) -> None:
    try:
        _start(here, starting)
    except _NoStartError as error:
        _give_up(here, starting, error.outcome, str(error))
    except LockspaceError as error:
        _give_up(here, starting, Outcome.START_REFUSED, f"no lease: {error}")
    except HypervisorError as error:
        _give_up(here, starting, Outcome.START_FAILED, str(error))
    finally:
        here.starting = None
        here.stir()


def _give_up(here: Here, starting: Starting, outcome: Outcome, detail: str) -> None:
    """End what was made for this start, and tell why."""
    _log.warning("the VM is not started: %s", detail)
    here.owe(outcome, detail)
    vm = here.access.identity()
    if not starting.is_created or vm is None:
        # What is left in vdsm's list has ended; the next start cleans it up.
        return
    try:
        here.end(vm, "its start has come to nothing")
    except HypervisorError as error:
        _log.error("%s", error)


def _start(here: Here, starting: Starting) -> None:
    definition = _definition(here)
    before = _settled(here)
    _check_lease(here, before)
    _clean(here)
    if starting.is_unwanted:
        raise _NoStartError(Outcome.START_FAILED, _POWERED_OFF)
    is_lost = False
    # From here on a power-off ends the VM by vdsm.
    starting.is_created = True
    try:
        here.call("VM.create", vmParams={"xml": definition.xml})
    except VdsmSilentError as error:
        # It may come yet: what becomes of it is seen by its status.
        _log.warning("%s", error)
        is_lost = True
    try:
        _await(here, before, is_lost=is_lost)
    except _NoStartError:
        if starting.is_unwanted:
            raise _NoStartError(Outcome.START_FAILED, _POWERED_OFF) from None
        raise


def _definition(here: Here) -> VmDefinition:
    """Return the VM's definition; raises `HypervisorError` where the lease would not be taken."""
    config = here.settings.config
    definition = load(config.conf)
    wrong = findings(
        definition, here.sight.place, vm_id=here.settings.vm_id, name=here.settings.config.name
    )
    for finding in (*wrong, *driver_findings(config.driver_conf, starts_paused=False)):
        if finding.is_fatal:
            raise HypervisorError(str(finding))
    return definition


def _settled(here: Here) -> LeaseSeen:
    """Return the lease, when sanlock has taken note of the end of a process that had it here."""
    ends_at = time.monotonic() + _LET_GO_S
    seen = here.sight.seen()
    while seen.owner == here.settings.host_id and time.monotonic() < ends_at:
        if here.closing.wait(_LOOK_S):
            break
        seen = here.sight.seen()
    return seen


def _check_lease(here: Here, seen: LeaseSeen) -> None:
    """Refuse where libvirt would: in milliseconds, and before the disks are opened."""
    if not seen.is_joined:
        detail = f"no lease: host {here.settings.host_id} has not joined the lockspace"
        raise _NoStartError(Outcome.START_REFUSED, detail)
    now = time.monotonic()
    is_expired = seen.free_at is not None and now >= seen.free_at
    if seen.owner is not None and not is_expired:
        raise _NoStartError(Outcome.START_REFUSED, _held_by(seen, now))


def _held_by(seen: LeaseSeen, now: float) -> str:
    when = "" if seen.free_at is None else f", free in {max(0.0, seen.free_at - now):.0f} s"
    return f"the lease is held by host {seen.owner}{when}"


def _clean(here: Here) -> None:
    """Have vdsm forget a VM that has ended; refuse where one has not."""
    found = here.look()
    if found is None:
        return
    if not found.is_down:
        raise _NoStartError(Outcome.START_REFUSED, f"the VM is here already: {found.status}")
    here.destroy()


def _await(here: Here, before: LeaseSeen, *, is_lost: bool) -> None:
    """Wait until the VM executes by its lease; raises `_NoStartError`."""
    began_at = time.monotonic()
    ends_at = began_at + here.settings.lease_wait_s + _SLACK_S
    asked = 0
    while not here.closing.wait(_LOOK_S):
        vm = here.access.identity()
        if vm is not None and not _is_known(here, vm.pid):
            here.known.note(vm, phase=Phase.STARTING)
        if time.monotonic() > ends_at:
            raise _NoStartError(Outcome.START_FAILED, "it does not execute in time")
        try:
            seen = here.look()
        except (VdsmUnreachableError, VdsmError) as error:
            # It restarts or recovers, say: the VM is as it was.
            _log.debug("%s", error)
            continue
        if seen is None:
            if is_lost and time.monotonic() < began_at + _LOST_S:
                continue
            raise _NoStartError(Outcome.START_FAILED, "vdsm knows the VM no more")
        if seen.is_down:
            raise _why_down(here, before, seen.exit_message or "the VM ended before it executed")
        if not seen.executes or vm is None:
            continue
        try:
            lease = here.sight.seen()
        except LockspaceError as error:
            # It is asked again; the guard of the lease ends a VM whose sanlock is not there.
            _log.debug("%s", error)
            continue
        if vm.pid in lease.holders:
            here.known.note(vm, phase=Phase.RUNNING, is_paused=False, lease_version=lease.version)
            return
        asked += 1
        if asked >= _ASKED:
            msg = "the VM executes, and sanlock says that it has no lease"
            raise HypervisorError(msg)


def _is_known(here: Here, pid: int) -> bool:
    record = here.known.record
    return record is not None and record.pid == pid


def _why_down(here: Here, before: LeaseSeen, said: str) -> _NoStartError:
    """Say whether the lease was in the way: by sanlock, and not by vdsm's words."""
    try:
        seen = here.sight.seen()
    except LockspaceError as error:
        return _NoStartError(Outcome.START_REFUSED, f"no lease: {error}")
    if not seen.is_joined:
        return _NoStartError(Outcome.START_REFUSED, f"no lease: {said}")
    if seen.owner not in (None, here.settings.host_id):
        return _NoStartError(Outcome.START_REFUSED, _held_by(seen, time.monotonic()))
    if before.owner is not None and seen.version == before.version:
        # It had run out, and nobody has taken it: neither has the VM.
        return _NoStartError(Outcome.START_REFUSED, f"no lease: {said}")
    return _NoStartError(Outcome.START_FAILED, said)
