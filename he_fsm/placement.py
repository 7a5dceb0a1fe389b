"""Who should run the engine: the same answer on every host that sees the same whiteboard."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping
from typing import Final, Optional

from he_fsm.metadata.record import HostRecord
from he_fsm.policy import Policy
from he_fsm.value import Value

# An engine status of this rank or above says that the VM is there (metadata.record.EngineStatus).
_VM_IS_UP = 2


class Placement(Value):
    """
    Who should run the engine.

    `engine_on`: the living host on which it runs already. Otherwise `hosts` should start it: all
    that share the highest score, ascending. Empty `hosts`: nobody, because of
    `waits_for` (hosts that could be better, of which it is not known whether they live), or
    because nobody has a score above 0. `turns`: the order in which they try, with those that
    are as good and of which it is not yet known: they may be about to try as well. `kept_by`: the
    hosts that went down in order and keep the engine for themselves (`Policy.on_shutdown` freeze):
    only these may start it.
    """

    __slots__ = ("engine_on", "hosts", "kept_by", "score", "turns", "waits_for")

    def __init__(  # noqa: PLR0913 - one for each part
        self,
        engine_on: Optional[int],
        hosts: tuple[int, ...],
        score: int,
        waits_for: tuple[int, ...],
        turns: tuple[int, ...] = (),
        kept_by: tuple[int, ...] = (),
    ) -> None:
        """Take the parts."""
        self.engine_on: Final = engine_on
        self.hosts: Final = hosts
        self.score: Final = score
        self.waits_for: Final = waits_for
        self.turns: Final = turns
        self.kept_by: Final = kept_by

    def names(self, host_id: int) -> bool:
        """Return whether a host should start the engine."""
        return _place(self.hosts, host_id) is not None

    def turn_of(self, host_id: int) -> Optional[int]:
        """Return a host's place in the order of turns, from 0 on; None: it has no turn."""
        return _place(self.turns, host_id)

    @property
    def reason(self) -> str:
        """Why, in words."""
        if self.engine_on is not None:
            return f"the engine runs on host {self.engine_on}"
        if self.kept_by:
            names = ", ".join(map(str, self.kept_by))
            return f"host {names} keeps the engine until it is back (on_shutdown: freeze)"
        if self.waits_for:
            names = ", ".join(map(str, self.waits_for))
            return f"host {names} could be better and is not yet known to be alive or dead"
        if not self.hosts:
            return "no living host has a score above 0"
        if len(self.hosts) == 1:
            return f"host {self.hosts[0]} has the highest score, {self.score}"
        names = ", ".join(map(str, self.hosts[:8])) + (", ..." if len(self.hosts) > 8 else "")
        return f"hosts {names} share the highest score, {self.score}"


def _place(ascending: tuple[int, ...], host_id: int) -> Optional[int]:
    place = bisect_left(ascending, host_id)
    return place if place < len(ascending) and ascending[place] == host_id else None


def placement(
    records: Mapping[int, HostRecord],
    alive: Collection[int],
    policy: Policy,
    pending: Collection[int] = (),
) -> Placement:
    """
    Decide who should run the engine, from shared facts alone.

    Args:
        records: the believed record of each host, the reader's own included.
        alive: host ids that live; others are left out.
        pending: host ids of which that is not yet known.
    """
    engine_on: Optional[int] = None
    best_rank = _VM_IS_UP - 1
    best_score = 0
    score_max = policy.score_max
    for host_id in alive:
        record = records.get(host_id)
        if record is None:
            continue
        engine = record.engine
        if engine.vm == "up":
            rank = engine.rank
            if rank > best_rank or (rank == best_rank and host_id < (engine_on or host_id)):
                engine_on, best_rank = host_id, rank
        if best_score < record.score <= score_max:
            best_score = record.score
    if engine_on is not None:
        return Placement(engine_on, (), best_score, ())
    kept_by = _keepers(records, alive, pending)
    if kept_by:
        able = [host_id for host_id in kept_by if host_id in alive]
        hosts = [host_id for host_id in able if 0 < records[host_id].score <= score_max]
        return Placement(None, tuple(hosts), best_score, (), tuple(hosts), kept_by)
    waits_for = tuple(
        sorted(
            host_id
            for host_id in pending
            if host_id in records and best_score < records[host_id].score <= score_max
        )
    )
    if waits_for:
        return Placement(None, (), best_score, waits_for)
    if not best_score:
        return Placement(None, (), 0, ())
    hosts = sorted([host_id for host_id in alive if _has_score(records.get(host_id), best_score)])
    equal = [host_id for host_id in pending if _has_score(records.get(host_id), best_score)]
    turns = sorted([*hosts, *equal]) if equal else hosts
    return Placement(None, tuple(hosts), best_score, (), tuple(turns))


def _keepers(
    records: Mapping[int, HostRecord], alive: Collection[int], pending: Collection[int]
) -> tuple[int, ...]:
    """
    Return the hosts that keep the engine for themselves, ascending.

    One that fell silent before it had stopped in order keeps nothing: it crashed.
    """
    return tuple(
        sorted(
            host_id
            for host_id, record in records.items()
            if record.engine.keeps_engine
            and (record.stopped or host_id in alive or host_id in pending)
        )
    )


def _has_score(record: Optional[HostRecord], score: int) -> bool:
    return record is not None and record.score == score
