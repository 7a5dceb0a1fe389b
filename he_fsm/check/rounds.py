"""
One round: every host's agent loops once, in every order that makes a difference.

A round begins with all loops to begin. In it each agent finds its facts and writes its record,
reads and decides, and carries out its orders: three actions, between which those of others may
fall. After an edge the agent looks again at once. Then the time of one loop passes.

Reductions (`reduced=False` is without them; a test compares the verdicts):

* *Heartbeats first.* A write that says nothing new is taken at the beginning of its round. Others
  learn from it that the writer lives, and nothing else: whether they do so in this round or in the
  next shifts their silence by one loop, as the writer's loss before or after its write does, which
  is explored.
* *Readers together.* Where nobody has anything new to write nor an order to carry out, and no
  reader's decision is an edge, the readers commute: what one of them learns no other can see. One
  order stands for all.
* *The second look.* After an edge a host looks again at once; others fall before or after that as a
  whole. What they write just between its two looks it sees with its next one, a loop later.
* *Where faults strike.* A fault is taken where it makes a difference (`he_fsm.check.faults`):
  before a round, between the writes and the reads, and what a reading shows at once while some
  have read.

Hosts are never swapped for each other: turns and ties go by host id, so a cluster with two of them
exchanged is another one, and no symmetry is claimed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

from he_fsm.check import layout as at
from he_fsm.check.cluster import Cluster
from he_fsm.check.faults import Faults
from he_fsm.check.layout import State, place
from he_fsm.check.local import Decision, Found
from he_fsm.check.properties import Action, Property

# How a state within a round was come by: from which, by what.
Trail = dict[State, tuple[Optional[State], Action]]
_BEGIN: Action = ("round", 0, "")
# These move no VM and no lease.
_LOOKS = frozenset(("write", "read"))
# So many edges in a row are followed at once (as in he_fsm.simulate); more would be a circle.
_EDGES_MAX = 16


class Successor(NamedTuple):
    """A state at the end of a round, the state within it that it came of, and the tick's fault."""

    state: State
    last: State
    action: Action


class Round:
    """What came of one state by one round."""

    def __init__(self) -> None:
        """Begin with nothing."""
        # Without faults, repairs or bad luck; and with them.
        self.quiet: list[Successor] = []
        self.other: list[Successor] = []
        self.trail: Trail = {}
        self.breaches: list[tuple[Property, str, State, Action]] = []
        self.transitions = 0

    def actions_to(self, state: State) -> tuple[Action, ...]:
        """Give what happened within the round up to a state of it."""
        actions = []
        at_state: Optional[State] = state
        while at_state is not None:
            at_state, action = self.trail[at_state]
            actions.append(action)
        return tuple(action for action in reversed(actions) if action is not _BEGIN)


class Rounds:
    """Plays rounds of a cluster."""

    def __init__(self, cluster: Cluster, faults: Faults, *, reduced: bool = True) -> None:
        """Take the cluster and what may strike it."""
        self._cluster = cluster
        self._faults = faults
        self._reduced = reduced
        self._places = [place(host) for host in range(cluster.hosts)]

    def play(self, state: State) -> Round:
        """Give all that may come of a state by one round."""
        played = Round()
        played.trail[state] = None, _BEGIN
        self._explore(played, [state], strikes=False, successors=played.quiet)
        starts = []
        for new, kind, host in self._faults.before_a_round(state):
            if new not in played.trail and self._enter(played, state, new, (kind, host, "")):
                starts.append(new)
        if state[at.BUDGET]:
            starts.append(state)
        self._explore(played, starts, strikes=True, successors=played.other)
        return played

    def _enter(self, played: Round, before: State, new: State, action: Action) -> bool:
        """
        Note a state within a round; whether exploring goes on from it.

        What comes after two engines is nobody's design.
        """
        played.transitions += 1
        if new in played.trail:
            return False
        played.trail[new] = before, action
        if action[0] in _LOOKS:
            return True
        broken = self._cluster.broken_by(new)
        for prop, seen in broken:
            played.breaches.append((prop, seen, new, action))
        return not _is_the_end(broken)

    def _explore(
        self, played: Round, starts: list[State], *, strikes: bool, successors: list[Successor]
    ) -> None:
        """Follow a round to its ends; with *strikes* also what faults within it make of it."""
        stack = list(starts)
        again = set(starts) if strikes else set()
        while stack:
            state = stack.pop()
            moved = self._heartbeats(played, state) if self._reduced else state
            if moved is None:
                continue
            loops = [moved[p + at.LOOP] for p in self._places]
            if strikes:
                stack.extend(self._strikes(played, moved, loops))
            if all(loop in (at.OVER, at.NO_AGENT) for loop in loops):
                self._end(played, moved, successors)
                continue
            for new, action in self._moves(played, moved, loops):
                is_new = self._enter(played, moved, new, action)
                if is_new or (strikes and new in played.trail and new not in again):
                    again.add(new)
                    stack.append(new)

    def _heartbeats(self, played: Round, state: State) -> Optional[State]:
        """Let all write that have nothing new to say; None where that leads to what was seen."""
        for host, p in enumerate(self._places):
            if state[p + at.LOOP] != at.TO_BEGIN:
                continue
            found, own = self._cluster.found(state, host)
            is_same = own == state[p + at.SLOT] and not state[p + at.FLAGS] & at.FRESH
            if own and not is_same:
                continue
            new = self._cluster.write(state, host, found, own)
            self._enter(played, state, new, ("write", host + 1, ""))
            state = new
        return state

    def _strikes(self, played: Round, state: State, loops: list[int]) -> Iterator[State]:
        """Give what faults within a round make of a state."""
        if not state[at.BUDGET]:
            return
        readers = [host for host, loop in enumerate(loops) if self._has_found(loop)]
        if not readers:
            return
        if not any(loop == at.OVER for loop in loops):
            found = self._faults.between_write_and_read(state)
        else:
            found = self._faults.while_some_have_read(state)
        for new, kind, host in found:
            if self._enter(played, state, new, (kind, host, "")):
                yield new

    def _has_found(self, loop: int) -> bool:
        return loop > 0 and type(self._cluster.steps.numbers.known[loop]) is Found

    def _moves(
        self, played: Round, state: State, loops: list[int]
    ) -> Iterator[tuple[State, Action]]:
        """Give each next action of each agent."""
        cluster = self._cluster
        readers = []
        acts = []
        for host, loop in enumerate(loops):
            if loop == at.TO_BEGIN:
                found, own = cluster.found(state, host)
                acts.append((cluster.write(state, host, found, own), ("write", host + 1, "")))
            elif self._has_found(loop):
                readers.append((host, cluster.decision(state, host)))
            elif loop > 0:
                self._judge_orders(played, state, host)
                word = ", ".join(cluster.steps.numbers.known[loop].effects)
                performed = cluster.perform(state, host)
                if self._reduced:
                    performed = self._look_again(played, state, performed, host)
                acts.append((performed, ("order", host + 1, word)))
        for host, decision in readers:
            for prop, seen in decision.breaches:
                text = f"host {host + 1} {seen}"
                played.breaches.append((prop, text, state, ("read", host + 1, "")))
        is_still = not acts and not any(decision.has_edge for _, decision in readers)
        if is_still:
            self._judge_agreement(played, state, readers)
        if is_still and self._reduced:
            yield from self._together(state, readers)
            return
        yield from acts
        for host, decision in readers:
            new = cluster.read(state, host, decision)
            if self._reduced and decision.has_edge:
                new = self._look_again(played, state, new, host)
            yield new, ("read", host + 1, "")

    def _look_again(self, played: Round, before: State, state: State, host: int) -> State:
        """Let a host look again after an edge, until it stays as it is or has orders."""
        cluster = self._cluster
        place_of_loop = self._places[host] + at.LOOP
        for _ in range(_EDGES_MAX):
            if state[place_of_loop] != at.TO_BEGIN:
                return state
            found, own = cluster.found(state, host)
            state = cluster.write(state, host, found, own)
            decision = cluster.decision(state, host)
            for prop, seen in decision.breaches:
                text = f"host {host + 1} {seen}"
                played.breaches.append((prop, text, before, ("read", host + 1, "")))
            state = cluster.read(state, host, decision)
        text = f"host {host + 1} takes one edge after the other and never comes to rest"
        played.breaches.append((Property.WAY_OUT, text, before, ("read", host + 1, "")))
        new = list(state)
        new[place_of_loop] = at.OVER
        return tuple(new)

    def _together(
        self, state: State, readers: list[tuple[int, Decision]]
    ) -> Iterator[tuple[State, Action]]:
        """Let all read; where faults are left also some of them, for what strikes in between."""
        count = len(readers)
        everybody = (1 << count) - 1
        chosen = range(1, everybody + 1) if state[at.BUDGET] else (everybody,)
        for mask in chosen:
            new = state
            for index, (host, decision) in enumerate(readers):
                if mask >> index & 1:
                    new = self._cluster.read(new, host, decision)
            names = ", ".join(
                str(host + 1) for index, (host, _) in enumerate(readers) if mask >> index & 1
            )
            yield new, ("read", 0, names)

    def _end(self, played: Round, state: State, successors: list[Successor]) -> None:
        for new, fault, host in self._cluster.ticks(state):
            played.transitions += 1
            action: Action = (fault or "tick", host, "")
            broken = self._cluster.broken_by(new)
            for prop, seen in broken:
                played.breaches.append((prop, seen, state, action))
            if _is_the_end(broken):
                continue
            target = successors if not fault else played.other
            target.append(Successor(new, state, action))

    def _judge_orders(self, played: Round, state: State, host: int) -> None:
        cluster = self._cluster
        orders = cluster.steps.numbers.known[state[place(host) + at.LOOP]].effects
        action: Action = ("order", host + 1, ", ".join(orders))
        if "start" in orders and cluster.start_while_blocked(state, host):
            text = f"host {host + 1} starts the engine although too many starts failed there"
            played.breaches.append((Property.FAILED_STARTS, text, state, action))
        if state[at.MOVES] > cluster.hosts and any(word.startswith("migrate") for word in orders):
            text = f"host {host + 1} moves the engine for the {state[at.MOVES] + 1}th time in a row"
            played.breaches.append((Property.MIGRATIONS, text, state, action))

    def _judge_agreement(
        self, played: Round, state: State, readers: list[tuple[int, Decision]]
    ) -> None:
        """Compare those who see the same: they have to name the same placement."""
        for index, (host, decision) in enumerate(readers):
            for other, theirs in readers[index + 1 :]:
                if decision.placement == theirs.placement or decision.dead != theirs.dead:
                    continue
                if decision.views == theirs.views:
                    text = (
                        f"hosts {host + 1} and {other + 1} see the same; one names "
                        f"{_shown(decision.placement)}, the other {_shown(theirs.placement)}"
                    )
                    played.breaches.append((Property.AGREEMENT, text, state, ("read", 0, "")))


def _is_the_end(broken: list[tuple[Property, str]]) -> bool:
    return any(prop is Property.TWO_ENGINES for prop, _ in broken)


def _shown(placement: Any) -> str:
    engine_on, hosts = placement
    if engine_on is not None:
        return f"host {engine_on}, where the engine runs"
    return "hosts " + ", ".join(map(str, hosts)) if hosts else "nobody"
