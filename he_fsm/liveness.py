"""Who is alive: a host is, while the timestamp in its slot keeps growing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Optional, Union

from he_fsm.crowd import CrowdSightings, CrowdSlots, unlike_the_crowd
from he_fsm.memory import Sighting
from he_fsm.metadata.record import HostRecord, ProblemWord, SlotProblem
from he_fsm.value import Value

# A slot that went backwards, and not as after a boot, is believed again when it has grown so often:
# a storage that shows old blocks, the older ones first, has only a few.
DOUBTS = 5
# How much faster than this host's clock a writer's may run, and how coarse timestamps are.
_CLOCK_RATE_MAX = 1.1
_CLOCK_STEP_S = 2.0

Sightings = Mapping[int, Sighting]
Content = Union[HostRecord, SlotProblem]
Slots = Mapping[int, Content]
NEVER = float("inf")


class Liveness(Value):
    """
    Who is alive, in the eyes of one host.

    `pending`: hosts of which it is not yet known. `changes_at`: the earliest time at which
    silence alone changes either set, on this host's monotonic clock.
    """

    __slots__ = ("alive", "changes_at", "pending")

    def __init__(
        self,
        alive: frozenset[int],
        pending: frozenset[int],
        changes_at: float,
    ) -> None:
        """Take the parts."""
        self.alive: Final = alive
        self.pending: Final = pending
        self.changes_at: Final = changes_at


def look(  # noqa: PLR0913 - what is known, what is read, and how
    sightings: Sightings,
    slots: Slots,
    own_id: int,
    now: float,
    *,
    first: bool,
    was_blind: bool = False,
    slack_s: float = 20.0,
) -> Sightings:
    """
    Update what was seen of the others by one reading of the whiteboard.

    Every slot is judged alone: damage in one never hides another, and leaves that host its
    last believed record, which grows old. What stands there at the *first* look proves nothing
    until it grows.

    Args:
        was_blind: this host could not read for a while, in which anybody may have booted.
        slack_s: by how much a timestamp may outgrow the time between two readings: two loops.
    """
    near, known = _worth_a_look(sightings, slots)
    changed: dict[int, Sighting] = {}
    for host_id, content in near.items():
        before = sightings.get(host_id)
        if before is not None and (before.content is content or _is_same(before.content, content)):
            continue
        if host_id == own_id:
            continue
        if before is None or before.timestamp is None or isinstance(content, SlotProblem):
            changed[host_id] = _see_first(before, content, now, first=first)
        elif content.timestamp <= before.timestamp:
            changed[host_id] = _see_no_growth(before, content, now, was_blind=was_blind)
        elif before.problem is None:
            changed[host_id] = Sighting(
                content, content.timestamp, now, before.since, content, None
            )
        else:
            changed[host_id] = _see_growth(before, content, now, slack_s)
    if not known.keys() <= near.keys():
        changed.update(_emptied(known, near))
    if not changed:
        return sightings
    if known is not sightings and type(sightings) is CrowdSightings:
        return sightings.with_changes(changed)
    return {**sightings, **changed}


def _worth_a_look(sightings: Sightings, slots: Slots) -> tuple[Slots, Sightings]:
    """Return the slots that may have changed, and what was seen of them: not those of a crowd."""
    if type(sightings) is CrowdSightings and type(slots) is CrowdSlots:
        beside = slots.beside(sightings)
        if beside is not None:
            cleared = [i for i, each in slots.others.items() if each is None]
            members = {i: sightings[i] for i in cleared if sightings.trusts(i)}
            return beside, {**sightings.others, **members} if members else sightings.others
    return slots, sightings


def _emptied(known: Sightings, near: Slots) -> dict[int, Sighting]:
    """Return the sightings of slots that somebody has cleared."""
    return {
        host_id: before._replace(
            content=None, problem=ProblemWord.EMPTY, record=_keeping_nothing(before.record)
        )
        for host_id, before in known.items()
        if host_id not in near and before.content is not None
    }


def _keeping_nothing(record: Optional[HostRecord]) -> Optional[HostRecord]:
    """Return the last record of a slot that somebody has cleared: it keeps the engine no longer."""
    if record is None or not record.engine.keeps_engine:
        return record
    return record._replace(engine=record.engine._replace(detail="unknown"))


def _is_same(before: Union[HostRecord, SlotProblem, None], now: Content) -> bool:
    """Whether a slot holds what it did, asked in the order that is quickest for many hosts."""
    if isinstance(before, HostRecord) and isinstance(now, HostRecord):
        return before.timestamp == now.timestamp and before == now
    return before == now


def _see_first(
    before: Optional[Sighting], content: Content, now: float, *, first: bool
) -> Sighting:
    if isinstance(content, SlotProblem):
        return _see_problem(before, content, now)
    # Counts as a heartbeat; a slot already filled at the first read does not.
    is_news = before is None and not first
    return Sighting(content, content.timestamp, now if is_news else None, now, content, None)


def _see_no_growth(
    before: Sighting, content: HostRecord, now: float, *, was_blind: bool
) -> Sighting:
    timestamp = content.timestamp
    if timestamp != before.timestamp:
        # A new baseline, not a sign of life: a reboot or an old block replayed by the storage.
        return before._replace(
            content=content,
            timestamp=timestamp,
            problem=ProblemWord.REPLAYED,
            newer_timestamp=None,
            doubts=0 if was_blind or _can_be_a_boot(before, timestamp, now) else DOUBTS,
            stepped_at=now,
        )
    if before.problem is ProblemWord.REPLAYED:
        return before._replace(content=content)
    return Sighting(
        content, timestamp, before.grew_at, before.since, content, None, is_newer=before.is_newer
    )


def _see_growth(before: Sighting, content: HostRecord, now: float, slack_s: float) -> Sighting:
    """Look at a slot that grows after something in it could not be believed."""
    timestamp, believed = content.timestamp, before.record
    if believed is not None and timestamp == believed.timestamp:
        # The storage shows an old block and then the last believed one again: no sign of life.
        return before._replace(content=content, timestamp=timestamp, problem=None, doubts=0)
    if (
        before.problem is ProblemWord.REPLAYED
        and believed is not None
        and timestamp < believed.timestamp
    ):
        doubts = _doubts_after(before, timestamp, now, slack_s)
        if doubts:
            return before._replace(
                content=content, timestamp=timestamp, doubts=doubts, stepped_at=now
            )
    return Sighting(content, timestamp, now, before.since, content, None)


def _doubts_after(before: Sighting, timestamp: int, now: float, slack_s: float) -> int:
    """
    Return how often a slot that went backwards still has to grow before it is believed.

    A writer's clock runs as fast as this host's: blocks that are further apart than the readings
    are old ones, which the storage shows in rising order.
    """
    grown_s = timestamp - (before.timestamp or 0)
    if grown_s > (now - before.stepped_at) * _CLOCK_RATE_MAX + slack_s:
        return DOUBTS
    return max(0, before.doubts - 1)


def _can_be_a_boot(before: Sighting, timestamp: int, now: float) -> bool:
    """
    Return whether a timestamp below the last one can be that of a host that has booted since.

    It counts the seconds since its boot, which came after the last growth that was seen.
    """
    seen_at = before.since if before.grew_at is None else before.grew_at
    return timestamp <= (now - seen_at) * _CLOCK_RATE_MAX + _CLOCK_STEP_S


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
    """Return the sightings as if *seconds* in which this host could not read had not passed."""
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
    alive: list[int] = []
    pending: list[int] = []
    longest_silent_from = NEVER
    # Fast path for recent peers; the exact sum is used near the limit.
    lives_surely_from = now - dead_after_s + 1.0
    for host_id, seen in unlike_the_crowd(sightings).items():
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
    if type(sightings) is CrowdSightings:
        lives = sightings.alive(frozenset(alive), dead_hosts)
    else:
        lives = frozenset((own_id, *alive))
    return Liveness(lives, frozenset(pending), changes_at)
