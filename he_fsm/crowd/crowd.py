"""
A crowd: hosts of which every host that looks has seen the same, that each of them lives.

A decision asks who lives and who should run the engine. In a cluster of n hosts each question takes
n steps, and n hosts ask. Whoever knows that many hosts see the same of the same others makes a
crowd of those others, once; its members' part of each answer is then computed once for all who
look. The answers are the ones that `he_fsm.liveness` and `he_fsm.placement` compute one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Optional

from he_fsm.memory import Sighting
from he_fsm.metadata.record import HostRecord
from he_fsm.placement import Placement, placement
from he_fsm.policy import Policy

# A crowd keeps so many answers of a kind at most: those that differ belong to moments that pass.
_KEPT_MAX: Final = 256

_Key = tuple[object, ...]
_Records = dict[int, HostRecord]


class Crowd:
    """
    Hosts that live, as everybody sees it; it never changes.

    Each sighting has a record that is no agent's last one, no problem, and has grown at a time that
    never gets old. What was once asked is kept: the answers follow from the sightings alone.
    `claimers`: the members that say that they are about to take the engine's lease. `up`: those
    that say that its VM is up. `watchdogs`: the times of watchdogs that they tell, and perhaps some
    that one has told before.
    """

    __slots__ = (
        "_alive",
        "_claims",
        "_counts",
        "_plans",
        "claimers",
        "ids",
        "records",
        "sightings",
        "up",
        "watchdogs",
    )

    def __init__(  # noqa: PLR0913 - one for each part
        self,
        sightings: dict[int, Sighting],
        records: _Records,
        ids: frozenset[int],
        claimers: frozenset[int],
        up: frozenset[int],
        watchdogs: frozenset[Optional[float]],
        counts: dict[int, int],
    ) -> None:
        """Take the parts; see `of`."""
        self.sightings: Final = sightings
        self.records: Final = records
        self.ids: Final = ids
        self.claimers: Final = claimers
        self.up: Final = up
        self.watchdogs: Final = watchdogs
        # How many members have each score.
        self._counts: Final = counts
        self._alive: dict[_Key, frozenset[int]] = {}
        self._plans: dict[_Key, Placement] = {}
        self._claims: Optional[tuple[Placement, tuple[int, ...]]] = None

    @classmethod
    def of(cls, sightings: Mapping[int, Sighting]) -> Crowd:
        """Make a crowd of what everybody sees, by host id."""
        records = {i: seen.record for i, seen in sightings.items() if seen.record is not None}
        counts: dict[int, int] = {}
        for record in records.values():
            counts[record.score] = counts.get(record.score, 0) + 1
        return cls(
            dict(sightings),
            records,
            frozenset(sightings),
            frozenset(i for i, record in records.items() if record.engine.claims_lease),
            frozenset(i for i, record in records.items() if record.engine.vm == "up"),
            frozenset(record.watchdog_s for record in records.values()),
            counts,
        )

    def changed(self, seen: Mapping[int, Sighting]) -> Crowd:
        """Return the crowd with other sightings of some hosts, which may be new in it."""
        if not seen.keys() <= self.ids:
            return Crowd.of({**self.sightings, **seen})
        news = {i: each.record for i, each in seen.items() if each.record is not None}
        counts = dict(self._counts)
        for host_id, record in news.items():
            counts[self.records[host_id].score] -= 1
            counts[record.score] = counts.get(record.score, 0) + 1
        claims = [i for i, record in news.items() if record.engine.claims_lease]
        up = [i for i, record in news.items() if record.engine.vm == "up"]
        return Crowd(
            {**self.sightings, **seen},
            {**self.records, **news},
            self.ids,
            _with(self.claimers, news, claims),
            _with(self.up, news, up),
            self.watchdogs.union(record.watchdog_s for record in news.values()),
            counts,
        )

    def without(self, host_id: int) -> Crowd:
        """Return the crowd without one host."""
        return Crowd.of({i: seen for i, seen in self.sightings.items() if i != host_id})

    def alive(self, added: frozenset[int], removed: frozenset[int]) -> frozenset[int]:
        """Return the ids of all members, with some more and without some; equal ones are one."""
        if not added and not removed:
            return self.ids
        key = added, removed
        found = self._alive.get(key)
        if found is None:
            _make_room(self._alive)
            found = self._alive[key] = (self.ids - removed) | added
        return found

    def claiming(self, plan: Placement) -> tuple[int, ...]:
        """Return the claimers that have a turn, ascending."""
        if self._claims is None or self._claims[0] is not plan:
            turns = set(plan.turns)
            self._claims = plan, tuple(sorted(each for each in self.claimers if each in turns))
        return self._claims[1]

    def placement(
        self,
        others: Mapping[int, Optional[HostRecord]],
        alive: frozenset[int],
        pending: frozenset[int],
        policy: Policy,
    ) -> Placement:
        """
        Return who should run the engine.

        *others*: the records of hosts beside the members, and of members that somebody sees
        otherwise; None: no record of that host is believed.
        """
        others = {i: r for i, r in others.items() if not _is_alike(r, self.records.get(i))}
        said = tuple(
            (host_id, None if r is None else (r.score, r.engine, r.stopped))
            for host_id, r in sorted(others.items())
        )
        key = policy.score_max, alive, pending, said
        found = self._plans.get(key)
        if found is None:
            _make_room(self._plans)
            found = self._running(others, alive, policy.score_max)
            if found is None:
                found = self._one_by_one(others, alive, pending, policy)
            self._plans[key] = found
        return found

    def _running(
        self,
        others: Mapping[int, Optional[HostRecord]],
        alive: frozenset[int],
        score_max: int,
    ) -> Optional[Placement]:
        """Return the placement where the engine runs already; None: it does not."""
        asked = {i: self.records[i] for i in self.up if i in alive and i not in others}
        asked.update({i: r for i, r in others.items() if r is not None and i in alive})
        up = [(-r.engine.rank, i) for i, r in asked.items() if r.engine.vm == "up"]
        if not up:
            return None
        counts = dict(self._counts)
        for host_id in {*(self.ids - alive), *self.ids.intersection(others)}:
            counts[self.records[host_id].score] -= 1
        scores = [score for score, count in counts.items() if count > 0]
        scores += [record.score for host_id, record in asked.items() if host_id in others]
        best = max((score for score in scores if 0 < score <= score_max), default=0)
        return Placement(min(up)[1], (), best, ())

    def _one_by_one(
        self,
        others: Mapping[int, Optional[HostRecord]],
        alive: frozenset[int],
        pending: frozenset[int],
        policy: Policy,
    ) -> Placement:
        records = {**self.records, **{i: r for i, r in others.items() if r is not None}}
        for host_id, record in others.items():
            if record is None:
                records.pop(host_id, None)
        return placement(records, alive, policy, pending)


def _with(before: frozenset[int], asked: Mapping[int, object], now: list[int]) -> frozenset[int]:
    """Return the members of which something is so, after some of them were asked anew."""
    if not now and before.isdisjoint(asked):
        return before
    return before.difference(asked).union(now)


def _is_alike(one: Optional[HostRecord], other: Optional[HostRecord]) -> bool:
    """Whether two records of a host say the same of who should run the engine."""
    if one is None or other is None or one.score != other.score or one.stopped != other.stopped:
        return False
    if one.engine.keeps_engine != other.engine.keeps_engine:
        return False
    if one.engine.vm == "up" or other.engine.vm == "up":
        return one.engine.vm == other.engine.vm and one.engine.rank == other.engine.rank
    return True


def _make_room(kept: dict[_Key, Any]) -> None:
    if len(kept) >= _KEPT_MAX:
        kept.clear()
