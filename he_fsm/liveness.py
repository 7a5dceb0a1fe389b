"""Who is alive: a host is, while the timestamp in its slot keeps growing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Optional, Union

from he_fsm.memory import Sighting
from he_fsm.metadata.record import HostRecord, ProblemWord, SlotProblem

Sightings = Mapping[int, Sighting]
Content = Union[HostRecord, SlotProblem]
Slots = Mapping[int, Content]
NEVER = float("inf")


class Liveness(NamedTuple):
    """
    Who is alive, in the eyes of one host.

    `pending`: hosts of which it is not yet known. `changes_at`: the earliest time at which
    silence alone changes either set, on this host's monotonic clock.
    """

    alive: frozenset[int]
    pending: frozenset[int]
    changes_at: float


def look(sightings: Sightings, slots: Slots, own_id: int, now: float, *, first: bool) -> Sightings:
    """
    Update what was seen of the others by one reading of the whiteboard.

    Every slot is judged alone: damage in one never hides another, and leaves that host its
    last believed record, which grows old. What stands there at the *first* look proves nothing
    until it grows.
    """
    changed: dict[int, Sighting] = {}
    for host_id, content in slots.items():
        before = sightings.get(host_id)
        if before is not None and (before.content is content or _is_same(before.content, content)):
            continue
        if host_id != own_id:
            changed[host_id] = _see(before, content, now, first=first)
    if not sightings.keys() <= slots.keys():
        for host_id, before in sightings.items():
            if host_id not in slots and before.content is not None:
                changed[host_id] = before._replace(content=None, problem=ProblemWord.EMPTY)
    return {**sightings, **changed} if changed else sightings


def _is_same(before: Union[HostRecord, SlotProblem, None], now: Content) -> bool:
    """Whether a slot holds what it did, asked in the order that is quickest for many hosts."""
    if isinstance(before, HostRecord) and isinstance(now, HostRecord):
        return before.timestamp == now.timestamp and before == now
    return before == now


def _see(before: Optional[Sighting], content: Content, now: float, *, first: bool) -> Sighting:
    if isinstance(content, SlotProblem):
        return _see_problem(before, content, now)
    timestamp = content.timestamp
    if before is None or before.timestamp is None:
        # A slot that fills while this host watches is news; one that was there is not.
        is_news = before is None and not first
        return Sighting(content, timestamp, now if is_news else None, now, content, None)
    if timestamp > before.timestamp:
        if before.record is not None and timestamp == before.record.timestamp:
            # The storage shows an old block and then the last believed one again: no sign of life.
            return before._replace(content=content, timestamp=timestamp, problem=None)
        return Sighting(content, timestamp, now, before.since, content, None)
    if timestamp < before.timestamp:
        # A new baseline, not a sign of life: a reboot or an old block replayed by the storage.
        problem = ProblemWord.REPLAYED
        return before._replace(
            content=content, timestamp=timestamp, problem=problem, newer_timestamp=None
        )
    if before.problem is ProblemWord.REPLAYED:
        return before._replace(content=content)
    return Sighting(
        content, timestamp, before.grew_at, before.since, content, None, is_newer=before.is_newer
    )


def _see_problem(before: Optional[Sighting], content: SlotProblem, now: float) -> Sighting:
    if before is None:
        before = Sighting(None, None, None, now, None, None)
    newer = content.newer_timestamp
    is_newer = before.is_newer or (
        newer is not None and before.newer_timestamp is not None and newer > before.newer_timestamp
    )
    return before._replace(
        content=content, problem=content.word, newer_timestamp=newer, is_newer=is_newer
    )


def grow_no_older(sightings: Sightings, seconds: float) -> Sightings:
    """Give the sightings as if *seconds* in which this host could not read had not passed."""
    return {
        host_id: seen._replace(
            since=seen.since + seconds,
            grew_at=None if seen.grew_at is None else seen.grew_at + seconds,
        )
        for host_id, seen in sightings.items()
    }


def who_is_alive(
    sightings: Sightings, own_id: int, now: float, dead_after_s: float, dead_hosts: frozenset[int]
) -> Liveness:
    """
    Say who is alive, who is not, and of whom it is not yet known.

    Args:
        dead_after_s: silence on this host's own clock after which a host is dead.
        dead_hosts: ids that the lease manager reports dead or free; that settles it at once.
    """
    alive = [own_id]
    pending: list[int] = []
    longest_silent_from = NEVER
    # Of most it is clear at once; rounding must not decide about the others.
    lives_surely_from = now - dead_after_s + 1.0
    for host_id, seen in sightings.items():
        record = seen.record
        if record is None or record.stopped or host_id in dead_hosts:
            continue
        grew_at = seen.grew_at
        silent_from = seen.since if grew_at is None else grew_at
        if silent_from < lives_surely_from and now >= silent_from + dead_after_s:
            continue
        if silent_from < longest_silent_from:  # noqa: PLR1730 - `min` takes twice as long
            longest_silent_from = silent_from
        if grew_at is None:
            pending.append(host_id)
        else:
            alive.append(host_id)
    changes_at = longest_silent_from + dead_after_s
    return Liveness(frozenset(alive), frozenset(pending), changes_at)
