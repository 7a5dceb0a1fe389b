"""
Write the leases of all hosts anew, where they are damaged or belong to nobody any more.

Nothing is more dangerous: whoever wrote them anew beside a VM could start a second one. So first it
is seen to that no VM can have the engine's lease, whatever people have forced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final, NoReturn, Optional, Union

import attrs

from he_fsm.errors import (
    LeaseDamagedError,
    LeaseForeignError,
    LeaseMissingError,
    LockspaceError,
)
from he_fsm.metadata.layout import HOST_ID_MAX
from he_fsm.metadata.record import SlotProblem
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.ports import IdMark, StoredLeases

# Host ids below it are looked at also where the whiteboard names no such host.
_LOOKED_AT: Final = 64
_LOOK_S: Final = 1.0
# A host that renews does so within this many times of its renewals.
_RENEWALS: Final = 1.5
GLOBAL: Final = "hosted-engine --set-maintenance --mode=global"
_STOP: Final = "systemctl stop he-fsm-agent"


@attrs.frozen
class Patience:
    """By whose times a host is dead, and how a process waits and reads its clock (seconds)."""

    rules: Rules
    wait: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


# The engine's lease as it can't be read: then anybody may have it.
_UNKNOWN: Final = "unknown"
_NO_LEASE: Final = (LeaseMissingError, LeaseDamagedError, LeaseForeignError)
_Owner = Union[int, str, None]


def reset(
    leases: StoredLeases,
    board: Optional[Whiteboard],
    patience: Patience,
    *,
    is_forced: bool,
) -> Iterator[str]:
    """
    Write the leases anew, one sentence for each step.

    Args:
        leases: those of the storage.
        board: what the hosts say of themselves; None: the whiteboard can't be read.
        patience: by its rules a host that does not renew its id any more is dead.
        is_forced: also without global maintenance and beside hosts that did not stop cleanly. A
            host whose id is being renewed, or that may have the engine's lease, is in the way all
            the same: it is watched until it is known to be dead.

    Raises:
        LockspaceError: the leases stay as they are; the message says why, and what to do.
    """
    marks, owner = _in_the_way(leases, board, is_forced=is_forced)
    if marks or owner is not None:
        yield from _watch(leases, marks, owner, patience)
    leases.rewrite()
    yield "the leases of all host ids were written anew, and the engine's with them"


def watching(
    leases: StoredLeases, board: Optional[Whiteboard], patience: Patience, *, is_forced: bool
) -> float:
    """
    Return how long `reset` would watch first (seconds), by what is there now; it writes nothing.

    Raises:
        LockspaceError: `reset` would refuse at once; the message says why.
    """
    marks, owner = _in_the_way(leases, board, is_forced=is_forced)
    return _watch_s(owner, patience.rules) if marks or owner is not None else 0.0


def _in_the_way(
    leases: StoredLeases, board: Optional[Whiteboard], *, is_forced: bool
) -> tuple[dict[int, IdMark], _Owner]:
    """Return what has to be watched before the leases are written; raises where it can't be."""
    if not is_forced:
        refusal = why_not(board)
        if refusal:
            _refuse(refusal)
    marks, owner = _marks(leases, board), _owner(leases)
    if not is_forced:
        _check_released(marks, owner)
    elif owner is None and _may_run(board):
        # safety: leases that were wiped off the storage are no sign that nothing runs.
        owner = _UNKNOWN
    return marks, owner


def _check_released(marks: dict[int, IdMark], owner: _Owner) -> None:
    if marks:
        who = ", ".join(f"host {host_id}" for host_id in sorted(marks))
        _refuse(
            f"{who} did not give back its host id: stop agent and broker there ({_STOP}"
            " he-fsm-broker); if that host is dead, add --force"
        )
    if owner is not None:
        what = f"names host {owner}" if isinstance(owner, int) else "can't be read"
        _refuse(
            f"the engine's lease {what}, so that a VM may run; add --force to wait until none can"
        )


def why_not(board: Optional[Whiteboard]) -> str:
    """Return what the hosts' own records have against it; empty: nothing."""
    if board is None:
        return "the whiteboard can't be read; add --force to go by the leases alone"
    if board.global_block.maintenance is not True:
        return f"global maintenance is off, so that agents may act: {GLOBAL}"
    for host_id, content in board.slots.items():
        if isinstance(content, SlotProblem):
            return (
                f"slot {host_id} can't be trusted ({content.word.value}), so that nobody knows"
                " whether that host has stopped; add --force to go by the leases alone"
            )
        if not content.stopped:
            return (
                f"host {host_id} ({content.hostname}) has not stopped: {_STOP}, there; if that host"
                " is dead, add --force"
            )
        if content.engine.vm == "up":
            return (
                f"host {host_id} ({content.hostname}) stopped beside a running VM: end the VM there"
                " (hosted-engine --vm-poweroff)"
            )
    return ""


def _may_run(board: Optional[Whiteboard]) -> bool:
    """Whether some host says that the VM runs there, or nobody can say anything."""
    return board is None or any(record.engine.vm == "up" for record in board.records.values())


def _marks(leases: StoredLeases, board: Optional[Whiteboard]) -> dict[int, IdMark]:
    """Return the host ids that somebody has, or did not give back."""
    known = set(range(1, _LOOKED_AT + 1)) | (set() if board is None else set(board.slots))
    owner = _owner(leases)
    if isinstance(owner, int):
        known.add(owner)
    found = {host_id: _mark(leases, host_id) for host_id in sorted(known) if host_id <= HOST_ID_MAX}
    return {host_id: mark for host_id, mark in found.items() if mark is not None}


def _mark(leases: StoredLeases, host_id: int) -> Optional[IdMark]:
    try:
        return leases.host_id(host_id)
    except _NO_LEASE:
        # Nobody can renew it.
        return None


def _owner(leases: StoredLeases) -> _Owner:
    """Return the host that may have the engine's lease; `_UNKNOWN`: any host may."""
    try:
        taken = leases.engine()
    except LeaseMissingError:
        return None
    except _NO_LEASE:
        return _UNKNOWN
    if taken is None:
        return None
    host_id, generation = taken
    try:
        mark = leases.host_id(host_id)
    except _NO_LEASE:
        # Its own daemon ends its VM, once it finds that it can't renew.
        return host_id
    # An owner that gave its id back, or took it anew, has no lease of before.
    return host_id if mark is not None and mark.generation == generation else None


def _watch(
    leases: StoredLeases,
    marks: dict[int, IdMark],
    owner: _Owner,
    patience: Patience,
) -> Iterator[str]:
    """Watch hosts for as long as it takes to know that they are dead; raises if one lives."""
    clock = patience.clock
    watch_s = _watch_s(owner, patience.rules)
    why = "" if owner is None else ", because nobody can tell whether a VM runs"
    if isinstance(owner, int):
        why = f", because the engine's lease names host {owner}"
    hosts = ", ".join(map(str, marks)) or "none"
    yield f"host ids that were not given back: {hosts}; watching for {watch_s:.0f} s{why}"
    ends = clock() + watch_s
    while clock() < ends:
        patience.wait(min(_LOOK_S, max(0.0, ends - clock())))
        for host_id, before in marks.items():
            now = _mark(leases, host_id)
            if now is not None and now != before:
                _refuse(
                    f"host {host_id} lives: it renews its host id; stop agent and broker there"
                    f" ({_STOP} he-fsm-broker), and end the VM if it is there"
                )
        if _owner(leases) not in (owner, None):
            _refuse("somebody has taken the engine's lease meanwhile: a VM runs")


def _watch_s(owner: _Owner, rules: Rules) -> float:
    # safety: a VM may execute for as long as its host's id has not run out.
    return rules.renewal_s * _RENEWALS if owner is None else rules.expiry_s


def _refuse(why: str) -> NoReturn:
    msg = f"the leases stay as they are: {why}"
    raise LockspaceError(msg)
