"""
The judge of an order just before it is carried out: whether there is a reason for it.

Limits come from the policy, and reasons from the surroundings: an engine that is down, a VM that is
ill, a release that is superseded. A host is judged only by what it could know: records that it has
read, and failures that were reported to it.
"""

from __future__ import annotations

from collections.abc import Iterator

from he_fsm.check import layout as at
from he_fsm.check.cluster import Cluster
from he_fsm.check.layout import State, place, relation_at
from he_fsm.check.local import SAME
from he_fsm.check.properties import Property
from he_fsm.check.scale import LOOP_S
from he_fsm.metadata.record import HostRecord

Seen = tuple[Property, str]


class Orders:
    """Judges the orders of a cluster's hosts, each just before it is carried out."""

    def __init__(self, cluster: Cluster) -> None:
        """Compute how much may be ordered after one fault."""
        self._cluster = cluster
        policy = cluster.steps.policy
        # One start brings the engine up; if the policy moves by restart, each move is a start too.
        self._starts_max = 1 + (cluster.hosts if policy.move_by_restart else 0)
        self._restarts_to_move = policy.move_by_restart
        # Each of the other hosts may have been quicker once.
        self._refused_max = cluster.hosts - 1
        self._moves_max = cluster.hosts + 1
        self._places = [place(host) for host in range(cluster.hosts)]

    def breaches_of(self, state: State, host: int, word: str) -> Iterator[Seen]:
        """Yield the properties that an order breaks; their texts continue after the host's name."""
        if word == "start":
            yield from self._judge_start(state, host)
        elif word.startswith("migrate"):
            yield from self._judge_move(state, host)
        elif word == "shut down":
            yield from self._judge_stop(state, host)

    def _judge_start(self, state: State, host: int) -> Iterator[Seen]:
        failed = state[self._places[host] + at.FAILED]
        blocked_s = self._cluster.steps.policy.blocked_s(at.failed_starts(failed))
        if LOOP_S * at.failed_ago(failed) < blocked_s:
            text = "starts the engine although too many starts failed there"
            yield Property.FAILED_STARTS, text
        for other in range(self._cluster.hosts):
            if other != host and self._has_read(state, host, other):
                yield from self._judge_start_beside(state, host, other)
        done = state[at.DONE]
        if not self._cluster.can_take(state, host):
            if at.times(done, at.REFUSED) >= self._refused_max:
                text = f"asks for the lease in vain, the {at.times(done, at.REFUSED) + 1}th time"
                yield Property.NO_NEEDLESS_WORK, text
        elif at.times(done, at.START) >= self._starts_max + self._is_superseded(state):
            text = f"starts the engine, the {at.times(done, at.START) + 1}th start after one fault"
            yield Property.NO_NEEDLESS_WORK, text

    def _judge_start_beside(self, state: State, host: int, other: int) -> Iterator[Seen]:
        """Judge a start by what this host has read of another living host."""
        q = self._places[other]
        record: HostRecord = self._cluster.steps.numbers.known[state[q + at.SLOT]]
        if record.engine.vm == "up" and at.is_good(state[q + at.VM]):
            text = f"starts the engine, which is up and well on host {other + 1}, as it has read"
            yield Property.NO_NEEDLESS_WORK, text
        if not record.engine.claims_lease or not self._has_just_run_out(state, host):
            return
        own: HostRecord = self._cluster.steps.numbers.known[state[self._places[host] + at.SLOT]]
        # A host whose score has dropped since is no longer eligible, whatever it announced.
        if record.score >= own.score and (other < host or not own.engine.claims_lease):
            text = f"takes the lease although host {other + 1} has announced that it does"
            yield Property.NO_NEEDLESS_WORK, text

    def _has_read(self, state: State, host: int, other: int) -> bool:
        """Return whether a host has read the present record of another one, whose agent runs."""
        q = self._places[other]
        is_there = state[q + at.SLOT] and self._can_act(state, other)
        # A resumed host has written nothing since its suspension.
        is_there = is_there and not state[q + at.FLAGS] & (at.SLEPT | at.STRAY)
        return bool(is_there) and state[relation_at(self._cluster.hosts, host, other)] == SAME

    def _can_act(self, state: State, host: int) -> bool:
        wanted = at.POWER | at.AGENT
        return state[self._places[host] + at.FLAGS] & (wanted | at.UNFIT) == wanted

    def _has_just_run_out(self, state: State, host: int) -> bool:
        """Return whether the lease has expired in this very loop."""
        owner = state[at.OWNER]
        if owner in (0, host + 1):
            return False
        expiries = self._cluster.times.expiries
        expiry = max(expiries[host], expiries[owner - 1])
        return state[self._places[owner - 1] + at.LAPSE] == expiry + 1

    def _is_superseded(self, state: State) -> bool:
        return any(state[p + at.FLAGS] & at.NEWER for p in self._places)

    def _judge_move(self, state: State, host: int) -> Iterator[Seen]:
        moves = at.times(state[at.DONE], at.MOVE)
        if moves >= self._moves_max:
            yield Property.MIGRATIONS, f"moves the engine for the {moves + 1}th time in a row"
        wait = at.wait_after_move(state[self._places[host] + at.FAILED])
        if wait:
            text = f"migrates again {wait} loops before the wait after a failed migration is over"
            yield Property.NO_NEEDLESS_WORK, text

    def _judge_stop(self, state: State, host: int) -> Iterator[Seen]:
        """Judge the shutdown of a healthy VM: its host's, a newer release or a move needs it."""
        if state[self._places[host] + at.FLAGS] & at.IS_LEAVING:
            return
        if not at.is_good(state[self._places[host] + at.VM]) or self._is_superseded(state):
            return
        if not self._restarts_to_move:
            yield Property.NO_NEEDLESS_WORK, "shuts down an engine that is well"
