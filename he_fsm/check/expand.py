"""The work of one process: it plays a round from each state that it is given."""

from __future__ import annotations

from typing import NamedTuple, Optional

import attrs

from he_fsm.check import layout as at
from he_fsm.check.beginning import Beginning, begin, beginnings
from he_fsm.check.cluster import Cluster
from he_fsm.check.faults import KINDS, OF_MIGRATIONS, USUAL, Faults
from he_fsm.check.layout import State, place
from he_fsm.check.local import LocalSteps
from he_fsm.check.numbers import Numbered
from he_fsm.check.passing import Passing
from he_fsm.check.properties import Breach, Property
from he_fsm.check.rounds import Round, Rounds
from he_fsm.check.scale import of_each_host
from he_fsm.check.truth import Truth
from he_fsm.policy import TALK, Policy
from he_fsm.states.names import State as Machine

# States of the machine that an agent leaves without a fault or a repair.
_PASSING = {
    Machine.ENGINE_STARTING,
    Machine.ENGINE_STOPPING,
    Machine.ENGINE_MIGRATING_AWAY,
    Machine.SCORE_BLOCKED,
}


# Flags that keep an agent in `Unknown`.
_BLIND = at.NOT_RENEWING | at.SILENT | at.DEAF
_ALL_KINDS_HOSTS = 2


@attrs.frozen(kw_only=True)
class Bounds:
    """
    The bounds of an exploration: the number of hosts, the most faults, the policy.

    `kinds`: only these kinds of faults (`he_fsm.check.faults.KINDS`); None: all of them with one
    host or two, the usual ones with more.

    `watchdogs`: the time of each host's own watchdog (seconds); empty: the policy's.

    `pause_keeps_lease` False: a VM that is paused releases its lease, as with libvirt's sanlock
    plug-in.

    `policy` is scaled to small times (`he_fsm.check.scale`). `reduced` False explores every order
    of the parts of the loops, even if it makes no difference.
    """

    hosts: int = 2
    faults: int = 2
    policy: Policy = TALK
    kinds: Optional[frozenset[str]] = None
    watchdogs: tuple[float, ...] = ()
    pause_keeps_lease: bool = True
    reduced: bool = True

    @property
    def strike(self) -> frozenset[str]:
        """The kinds of faults that may strike."""
        if self.kinds is not None:
            return self.kinds & self.possible
        return self.possible if self.hosts <= _ALL_KINDS_HOSTS else USUAL & self.possible

    @property
    def possible(self) -> frozenset[str]:
        """The kinds of faults that there are: what can't migrate meets none of a migration."""
        return KINDS if self.policy.live_migration else KINDS - OF_MIGRATIONS


class Node(NamedTuple):
    """
    A state in which the machine still owes progress, and its successors by one quiet round.

    Keys are those of plain states (`Expander.plain`). `is_down`: hosts are able to run the engine,
    and no engine is good. `waits`: some agent is in a state that it must leave.
    """

    key: int
    visited: int
    is_down: bool
    waits: bool
    then: tuple[int, ...]


class Expansion(NamedTuple):
    """The result of expanding some states: the states that are new here, and what was seen."""

    found: list[tuple[int, int, State]]
    states: int
    transitions: int
    breaches: list[Breach]
    edges: set[tuple[str, str]]
    nodes: list[Node]
    news: list[Numbered]


def _length(breach: Breach) -> int:
    return len(breach.actions)


def key_of(state: State) -> int:
    """
    Return the key of a state among the visited ones: 64 bits, the same in every process.

    Of ten million states two share a key with a probability of 1 to 400,000.
    """
    return hash(state)


class Expander:
    """Plays rounds within the bounds."""

    def __init__(self, bounds: Bounds) -> None:
        """Begin without known states."""
        kinds = bounds.strike
        policies = of_each_host(bounds.policy, bounds.hosts, bounds.watchdogs)
        self.steps = LocalSteps(policies, suspends="suspend" in kinds)
        self.cluster = Cluster(self.steps, pause_keeps_lease=bounds.pause_keeps_lease)
        faults, passing = Faults(self.cluster, kinds), Passing(self.cluster, kinds)
        self.truth = Truth(self.cluster)
        self.rounds = Rounds(self.cluster, faults, passing, self.truth, reduced=bounds.reduced)
        self._bounds = bounds
        self._met: set[int] = set()
        self._nodes: set[int] = set()
        self._told: set[tuple[str, str]] = set()

    def beginnings(self) -> dict[State, Beginning]:
        """Return the states at which exploring begins."""
        bounds = self._bounds
        failed_max = self.steps.policy.failed_starts_max
        return {
            begin(self.cluster, self.rounds, beginning): beginning
            for beginning in beginnings(bounds.hosts, bounds.faults, failed_max)
        }

    def expand(self, states: list[State]) -> Expansion:
        """Play a round from each of some states."""
        found: list[tuple[int, int, State]] = []
        breaches: dict[Property, Breach] = {}
        nodes: list[Node] = []
        within = transitions = 0
        for state in states:
            key = key_of(state)
            played = self.rounds.play(state)
            within += len(played.trail)
            transitions += played.transitions
            for prop, seen, last, action in played.breaches:
                if prop not in breaches or breaches[prop].after == key:
                    actions = (*played.actions_to(last), action)
                    breach = Breach(prop, seen, key, actions)
                    breaches[prop] = min(breaches.get(prop, breach), breach, key=_length)
            for successor in (*played.quiet, *played.other):
                other = key_of(successor.state)
                if other not in self._met:
                    self._met.add(other)
                    found.append((other, key, successor.state))
            self._note(state, key, played, nodes)
        edges = self.steps.edges - self._told
        self._told |= edges
        numbers = self.steps.numbers
        news, numbers.news = numbers.news, []
        return Expansion(found, within, transitions, list(breaches.values()), edges, nodes, news)

    def _note(self, state: State, key: int, played: Round, nodes: list[Node]) -> None:
        """Record a node for a state in which the machine still owes progress, once."""
        is_down = self.truth.is_able(state) and not self.truth.is_good(state)
        waits = self._waits(state)
        if not is_down and not waits:
            return
        plain = key_of(self.plain(state))
        if plain in self._nodes:
            return
        self._nodes.add(plain)
        then = {key_of(self.plain(successor.state)) for successor in played.quiet}
        nodes.append(Node(plain, key, is_down, waits, tuple(sorted(then))))

    def plain(self, state: State) -> State:
        """Return a state without the numbers that matter only if a fault strikes."""
        new = list(state)
        new[at.BUDGET] = new[at.DONE] = 0
        for host in range(self.cluster.hosts):
            new[place(host) + at.BEFORE] = new[place(host) + at.HEARD] = 0
        return tuple(new)

    def _waits(self, state: State) -> bool:
        for host in range(self.cluster.hosts):
            flags = state[place(host) + at.FLAGS]
            if flags & (at.AGENT | at.ASLEEP) != at.AGENT:
                continue
            machine = self.cluster.memory(state, host).state
            if machine in _PASSING:
                return True
            if machine is Machine.UNKNOWN and not flags & _BLIND:
                return True
            is_out = flags & (at.MAINTENANCE | at.IS_LEAVING)
            if machine is Machine.LOCAL_MAINTENANCE and not is_out:
                return True
            if machine is Machine.GLOBAL_MAINTENANCE and not state[at.GLOBAL]:
                return True
        return False
