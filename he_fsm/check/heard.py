"""
Which hosts each host can know to be alive, by the heartbeats that were really written and read.

The machine keeps a ledger of its own (`Memory.sightings`), which is judged by this one. A host is
heard if a reading shows a record that its agent has written since the previous reading. Not
heartbeats are: the first reading, the first record after the writer's boot, and an old block that
the storage shows again. Time in which a host can't read does not count as silence of the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Optional

from he_fsm.check.local import GROWN, SAME, Decision, LocalSteps
from he_fsm.check.properties import Property
from he_fsm.check.scale import loops
from he_fsm.metadata.record import HostRecord

# A host's ledger is one number: whether its agent has read since it began, whether it has read in
# this loop, and whether its last try to read failed; then, for each writer, how many loops ago it
# was heard, plus one (0: never, or too long ago).
_HAS_READ, READ_NOW, _BLIND = (1 << bit for bit in range(3))
_FIRST_AT, _BITS = 3, 3
_WRITER = (1 << _BITS) - 1

Seen = tuple[Property, str]


class Heard:
    """Updates the hosts' ledgers, and judges by them which hosts are taken for alive."""

    def __init__(self, steps: LocalSteps, hosts: int) -> None:
        """Take the policy from *steps*: how long a host may be silent."""
        self._steps = steps
        self._hosts = hosts
        self._dead_loops = loops(steps.policy.dead_after_s)

    def judged(  # noqa: PLR0913 - what a reading shows, and to whom
        self,
        decision: Decision,
        ledger: int,
        reader: int,
        slots: Optional[tuple[int, ...]],
        relations: tuple[int, ...],
        known: Collection[int],
        version: int,
    ) -> Decision:
        """
        Return a decision with its host's ledger after the reading, and the breaches that it shows.

        *known*: the hosts of which this host has read a record before.
        """
        # If the slot was empty until now, even an older record counts: it was written since.
        relations = tuple(
            GROWN if relation != SAME and writer not in known else relation
            for writer, relation in enumerate(relations, start=1)
        )
        after = self.after(ledger, reader, slots, relations, version)
        breaches = (*decision.breaches, *self.breaches_of(after, reader, decision))
        return decision._replace(heard=after, breaches=breaches)

    def is_heard(self, ledger: int, writer: int) -> bool:
        """Return whether a writer (0 for the first) was heard so recently that it may be alive."""
        return bool(ledger >> _FIRST_AT + _BITS * writer & _WRITER)

    def after(
        self,
        ledger: int,
        reader: int,
        slots: Optional[tuple[int, ...]],
        relations: tuple[int, ...],
        version: int,
    ) -> int:
        """Return the ledger after a reading; *slots* None: the reader sees nothing."""
        if slots is None:
            return ledger | _BLIND if ledger & _HAS_READ else ledger
        new = _HAS_READ | READ_NOW
        if not ledger & _HAS_READ:
            return new
        a_loop_passed = not ledger & (READ_NOW | _BLIND)
        for writer in range(self._hosts):
            ago = ledger >> _FIRST_AT + _BITS * writer & _WRITER
            if ago and a_loop_passed:
                ago = ago + 1 if ago < self._dead_loops else 0
            if relations[writer] == GROWN and writer != reader:
                record: HostRecord = self._steps.numbers.known[slots[writer]]
                if record.parse_version <= version:
                    ago = 0 if record.stopped else 1
            new |= ago << _FIRST_AT + _BITS * writer
        return new

    def breaches_of(self, ledger: int, reader: int, decision: Decision) -> Iterator[Seen]:
        """Yield what a decision breaks: hosts taken for alive or dead, and the target of a move."""
        orders: tuple[str, ...] = ()
        if decision.orders:
            orders = self._steps.numbers.known[decision.orders].effects
        for word in orders:
            if word.startswith("migrate"):
                yield from self._judge_target(ledger, int(word.partition(" ")[2]), decision)
        for writer in range(self._hosts):
            other = writer + 1
            if writer == reader or other in decision.dead:
                continue
            ago = ledger >> _FIRST_AT + _BITS * writer & _WRITER
            if other in decision.alive:
                if not ago:
                    text = f"takes host {other} for alive, of which it has read nothing new"
                    yield Property.LIVENESS, text
            elif ago and other not in decision.pending:
                text = f"takes host {other} for dead, which it has heard {ago - 1} loops ago"
                yield Property.LIVENESS, text

    def _judge_target(self, ledger: int, target: int, decision: Decision) -> Iterator[Seen]:
        if target in decision.dead:
            yield Property.MIGRATIONS, f"moves the engine to host {target}, which is dead"
        elif not self.is_heard(ledger, target - 1):
            yield Property.MIGRATIONS, f"moves the engine to host {target}, which is silent"
