"""
Move the VM to another host while it executes: vdsm does it, from vdsm to vdsm.

libvirt's plug-in puts the lease down when the VM is paused at the end, and the target's takes it.
How it has ended is in the VM's last status, which vdsm may forget at once; who has the lease by
then is known in any case.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final, Optional

from he_fsm.errors import HypervisorError, LockspaceError
from he_fsm.runtime.hypervisors.vdsm.here import Departure, Here
from he_fsm.runtime.hypervisors.vdsm.status import VmSeen, number
from he_fsm.runtime.ports import Peer
from he_fsm.runtime.vdsm.interface import VdsmError, VdsmSilentError, VdsmUnreachableError
from he_fsm.snapshot import Outcome, VmState

_log = logging.getLogger(__name__)

_LOOK_S: Final = 0.2
_CANCEL_AGAIN_S: Final = 0.5
# The target has the lease within a second of the source's end, or does not get it (seconds).
_TAKEN_S: Final = 20.0
# What oVirt's agent sent until 2019, with the schedule by which vdsm lengthens the last pause.
_PARAMS: Final = {
    "mode": "remote",
    "method": "online",
    "src": "localhost",
    "tunneled": False,
    "compressed": False,
    "autoConverge": True,
    "abortOnError": True,
    "enableGuestEvents": True,
}


def _downtime(milliseconds: int) -> dict[str, Any]:
    return {"name": "setDowntime", "params": [str(milliseconds)]}


_STALLING: Final = tuple(
    {"limit": limit, "action": _downtime(milliseconds)}
    for limit, milliseconds in ((1, 150), (2, 200), (3, 300), (4, 400), (6, 500))
)
_SCHEDULE: Final = {
    "init": [_downtime(100)],
    "stalling": [
        *_STALLING,
        {"limit": -1, "action": _downtime(5000)},
        {"limit": -1, "action": {"name": "abort", "params": []}},
    ],
}


def migrate(here: Here, peer: Peer) -> None:
    """Order the VM's migration to *peer*."""
    with here.guard:
        if here.state is not VmState.UP or here.starting or here.departure:
            here.tell(Outcome.MIGRATION_FAILED, "the VM can't be migrated now")
            return
        dst = here.settings.config.migrate.address_of(peer)
        if not dst:
            here.tell(Outcome.MIGRATION_FAILED, f"the address of {peer} is not known")
            return
        vm = here.access.identity()
        if vm is not None:
            # From now on the guard of the lease leaves the lease to the migration.
            here.known.note(vm, leaving_to=peer.host_id)
        departure = here.departure = Departure(peer)
        here.last_down = here.progress = None
        here.publish(VmState.LEAVING, f"to {peer}", 0.0)
    here.begin("vdsm-migrate", lambda: _carry_out(here, departure, dst))


def cancel(here: Here) -> None:
    """Order the end of the migration under way, whoever ordered it."""
    if here.state is VmState.LEAVING:
        departure = here.departure
        here.begin("vdsm-cancel", lambda: _cancel(here, departure))


def _cancel(here: Here, departure: Optional[Departure]) -> None:
    """Cancel it; one that has not begun yet is cancelled when it has."""
    while here.state is VmState.LEAVING and here.departure is departure:
        try:
            here.call("VM.migrateCancel")
        except VdsmError as error:
            # There is no migration yet, or no longer.
            _log.debug("%s", error)
        except HypervisorError as error:
            _log.warning("the migration is not given up: %s", error)
        if departure is None or here.closing.wait(_CANCEL_AGAIN_S):
            return


def _carry_out(here: Here, departure: Departure, dst: str) -> None:
    outcome, detail = Outcome.MIGRATION_FAILED, "nobody waits for its end any more"
    try:
        outcome, detail = _move(here, departure, dst)
    except HypervisorError as error:
        detail = str(error)
    _log.info("the migration to %s: %s", departure.peer, detail or "done")
    here.owe(outcome, detail)
    here.has_lost_move = outcome is Outcome.MIGRATION_FAILED
    here.departure = None
    here.stir()


def _move(here: Here, departure: Departure, dst: str) -> tuple[Outcome, str]:
    """Have vdsm move it, and wait for the end; raises `HypervisorError` where it does not begin."""
    # QEMU's own connection goes to the same host, without the port of vdsm.
    host = dst.rpartition(":")[0] if dst.count(":") == 1 else dst
    params = {**_PARAMS, "dst": dst, "dstqemu": host, "convergenceSchedule": _SCHEDULE}
    if here.settings.config.migrate.bandwidth:
        params["maxBandwidth"] = here.settings.config.migrate.bandwidth
    try:
        here.call("VM.migrate", params=params)
    except VdsmSilentError as error:
        # It may have begun.
        _log.warning("%s", error)
    while not here.closing.wait(_LOOK_S):
        try:
            seen = here.look()
            if seen is None or seen.is_down:
                return _ended(here, departure, seen)
            failure = _failure(here)
        except (VdsmUnreachableError, VdsmError) as error:
            # The migration goes on without vdsm, and so does its end.
            _log.debug("%s", error)
            continue
        if failure and seen.vm_state() is not VmState.LEAVING:
            return Outcome.MIGRATION_FAILED, failure
    return Outcome.MIGRATION_FAILED, "its agent has ended"


def _failure(here: Here) -> str:
    """Return why the last migration has failed, as vdsm says; empty: it has not."""
    answer = here.call("VM.getMigrationStatus")
    status = answer.get("status") if isinstance(answer, dict) else None
    if not isinstance(status, dict):
        return ""
    code = number(status.get("code"))
    return f"vdsm: {status.get('message') or f'code {code:g}'}" if code else ""


def _ended(here: Here, departure: Departure, seen: Optional[VmSeen]) -> tuple[Outcome, str]:
    """Say how a migration has ended whose VM is here no more: by who has the lease now."""
    last = seen or here.last_down
    has_moved = last is not None and last.has_moved
    ends_at = time.monotonic() + _TAKEN_S
    while time.monotonic() < ends_at:
        try:
            owner = here.sight.seen().owner
        except LockspaceError as error:
            _log.warning("whether %s executes the VM is not known yet: %s", departure.peer, error)
            owner = None
        if owner == departure.peer.host_id:
            return Outcome.MIGRATION_DONE, ""
        if owner is not None and owner != here.settings.host_id:
            return Outcome.MIGRATION_FAILED, f"host {owner} has the lease now"
        is_free = owner is None and here.access.identity() is None
        if is_free and (departure.is_ended or (last is not None and not has_moved)):
            break
        if here.closing.wait(_LOOK_S):
            break
    why = "" if last is None else last.exit_message
    return Outcome.MIGRATION_FAILED, why or f"{departure.peer} has not taken the lease"
