"""What would make one host decide otherwise: each thing alone, and for a score by how much."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable, Final, Optional

import attrs

from he_fsm.metadata.record import HostRecord
from he_fsm.snapshot import VmState
from he_fsm.why import changes
from he_fsm.why.outlook import Case, Change, Turn, outlook

# Of so many other hosts the scores are asked about, the best ones first.
_OTHERS_MAX: Final = 6


@attrs.frozen(kw_only=True)
class Otherwise:
    """
    One thing that would change a decision: *what* happens, and the *turn* that the host then takes.

    *turn* None: what the host would have done comes to nothing. *falls_by*: by how much its own
    score has to fall; None: it is about something else.
    """

    what: str
    turn: Optional[Turn]
    falls_by: Optional[int] = None


def otherwise(case: Case) -> Iterator[Otherwise]:
    """Return what would make the host decide otherwise, one thing after the other."""
    usual = outlook(case)
    for host_id, score in _scores(case):
        yield from _by_score(case, usual, host_id, score)
    for what, change in _events(case):
        turn = outlook(case, change)
        if not _is_same(turn, usual):
            yield Otherwise(what=what, turn=turn)


def _is_same(turn: Optional[Turn], usual: Optional[Turn]) -> bool:
    return turn is None if usual is None else usual.is_like(turn)


def _scores(case: Case) -> list[tuple[int, int]]:
    """Return this host with its score, and the others, the best and the lowest id first."""
    snapshot = case.snapshot
    board = snapshot.whiteboard
    records = {} if board is None else board.records
    others = sorted(
        (-record.score, host_id)
        for host_id, record in records.items()
        if host_id != snapshot.host_id and not record.stopped
    )
    own = [] if snapshot.own is None else [(snapshot.host_id, snapshot.own.score)]
    return own + [(host_id, -score) for score, host_id in others[:_OTHERS_MAX]]


def _by_score(case: Case, usual: Optional[Turn], host_id: int, score: int) -> Iterator[Otherwise]:
    """Return by how much a host's score has to fall, and to rise, for another decision."""

    def turn_at(value: int) -> Optional[Turn]:
        return outlook(case, changes.score_of(host_id, value))

    whose = f"host {host_id}'s score"
    lower = nearest(lambda value: not _is_same(turn_at(value), usual), score, 0)
    if lower is not None:
        what = f"{whose} fell to {lower} or less (it is {score})" if lower else f"{whose} fell to 0"
        falls_by = score - lower if host_id == case.snapshot.host_id else None
        yield Otherwise(what=what, turn=turn_at(lower), falls_by=falls_by)
    higher = nearest(
        lambda value: not _is_same(turn_at(value), usual), score, case.policy.score_max
    )
    if higher is not None:
        what = f"{whose} rose to {higher} or more (it is {score})"
        yield Otherwise(what=what, turn=turn_at(higher))


def nearest(changes_it: Callable[[int], bool], now: int, limit: int) -> Optional[int]:
    """
    Return the value nearest to *now*, on the way to *limit*, that changes something.

    None: not even *limit* does. What a value changes, all values beyond it change as well.
    """
    if now == limit or not changes_it(limit):
        return None
    same, other = now, limit
    while abs(other - same) > 1:
        middle = (same + other) // 2
        if changes_it(middle):
            other = middle
        else:
            same = middle
    return other


def _events(case: Case) -> Iterator[tuple[str, Change]]:
    """Return what may happen to a host and to the others, in words and as a change."""
    snapshot, expiry_s = case.snapshot, case.policy.lease_expiry_s
    here = f"host {snapshot.host_id}"
    for host_id in _asked_about(case):
        yield f"host {host_id} lost its power", changes.power_loss_of(host_id, expiry_s)
        yield f"host {host_id}'s agent fell silent", changes.silence_of(host_id)
    if snapshot.vm.state is VmState.UP:
        yield f"the VM on {here} died", changes.dead_vm
        yield f"the VM on {here} stayed paused", changes.paused_vm
        yield f"the health page stayed bad, as {here} reads it", changes.bad_page
    if not snapshot.local_maintenance:
        yield f"local maintenance was set on {here}", changes.local_maintenance
        yield f"{here} was shut down in order", changes.orderly_shutdown
    is_global = snapshot.whiteboard is not None and snapshot.whiteboard.global_block.maintenance
    word = "ended" if is_global else "set"
    yield f"global maintenance was {word}", changes.global_maintenance(is_on=not is_global)
    yield f"{here} could read the storage no more", changes.lost_storage


def _asked_about(case: Case) -> list[int]:
    """Return the other hosts whose loss is asked about: the lease's owner, then the best ones."""
    snapshot = case.snapshot
    owner = None if snapshot.leases is None else snapshot.leases.owner
    best = [host_id for host_id, _ in _scores(case) if host_id != snapshot.host_id]
    board = snapshot.whiteboard
    is_known = board is not None and isinstance(board.slots.get(owner or 0), HostRecord)
    if owner is not None and owner != snapshot.host_id and is_known:
        best = [owner, *(host_id for host_id in best if host_id != owner)]
    return best[:_OTHERS_MAX]
