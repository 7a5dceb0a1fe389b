"""
One round: every host's agent loops once, in every order that makes a difference.

A round begins before all loops. Each agent has three actions: it finds its facts and writes its
record; it reads and decides; and it carries out its orders. Actions of other agents may come
between them. After an edge the agent makes another pass at once. Then the time of one loop passes.

Reductions (`reduced=False` turns them off; a test compares the verdicts):

* *Heartbeats first.* A write with an unchanged record comes at the beginning of its round. Others
  learn from it only that the writer is alive. Whether they learn that in this round or in the next
  shifts the silence that they count by one loop. The loss of the writer before or after its write
  does the same, and is explored.
* *Readers together.* If no agent has a changed record to write or an order to carry out, and no
  reader's decision is an edge, the readers commute: no other agent can see what one of them learns.
  One order stands for all.
* *The second pass.* After an edge, a host's second pass follows at once; actions of others come
  before or after both. What others write between the two passes is read a loop later.
* *When faults strike.* A fault is explored only where it makes a difference
  (`he_fsm.check.faults`): before a round, between the writes and the reads, and, if a reading shows
  it at once, while some hosts have read.

There is no symmetry reduction: turns and ties go by host id, so a cluster with two hosts exchanged
is another one.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

from he_fsm.check import layout as at
from he_fsm.check.cluster import Cluster
from he_fsm.check.faults import Faults
from he_fsm.check.layout import State, place
from he_fsm.check.local import Decision, Found
from he_fsm.check.orders import Orders
from he_fsm.check.passing import Passing
from he_fsm.check.properties import Action, Property
from he_fsm.check.truth import Truth

# For each state within a round, the state before it and the action that led to it.
Trail = dict[State, tuple[Optional[State], Action]]
_BEGIN: Action = ("round", 0, "")
# These move no VM and no lease.
_LOOKS = frozenset(("write", "read"))
# The most edges in a row that a host takes at once (as in he_fsm.simulate); more are a circle.
_EDGES_MAX = 16


class Successor(NamedTuple):
    """A state after a round, the last state within the round, and the action between them."""

    state: State
    last: State
    action: Action


class Round:
    """The result of one round from one state."""

    def __init__(self) -> None:
        """Begin without successors."""
        # The successors without faults or repairs, and those with them.
        self.quiet: list[Successor] = []
        self.other: list[Successor] = []
        self.trail: Trail = {}
        self.breaches: list[tuple[Property, str, State, Action]] = []
        self.transitions = 0

    def actions_to(self, state: State) -> tuple[Action, ...]:
        """Return the actions within the round up to one of its states."""
        actions = []
        at_state: Optional[State] = state
        while at_state is not None:
            at_state, action = self.trail[at_state]
            actions.append(action)
        return tuple(action for action in reversed(actions) if action != _BEGIN)


class Rounds:
    """Plays rounds of a cluster."""

    def __init__(
        self,
        cluster: Cluster,
        faults: Faults,
        passing: Passing,
        truth: Truth,
        *,
        reduced: bool = True,
    ) -> None:
        """Take the cluster, its faults, its passing of time, and the judge of its states."""
        self._cluster = cluster
        self._faults = faults
        self._passing = passing
        self._truth = truth
        self._orders = Orders(cluster)
        self._reduced = reduced
        self._places = [place(host) for host in range(cluster.hosts)]
        self._loop_places = [p + at.LOOP for p in self._places]
        self._writes: list[Action] = [("write", host + 1, "") for host in range(cluster.hosts)]
        self._reads: list[Action] = [("read", host + 1, "") for host in range(cluster.hosts)]

    def play(self, state: State) -> Round:
        """Return all results of one round from a state."""
        played = Round()
        played.trail[state] = None, _BEGIN
        within = self._follow(played, [state], played.quiet)
        starts = [
            new
            for new, kind, host in self._faults.before_a_round(state)
            if self._enter(played, state, new, (kind, host, ""))
        ]
        starts += self._struck(played, within)
        # Each iteration uses up one more fault, so the loop ends.
        while starts:
            within = self._follow(played, starts, played.other)
            starts = self._struck(played, within)
        return played

    def _enter(self, played: Round, before: State, new: State, action: Action) -> bool:
        """
        Record a state within a round, and return whether exploring goes on from it.

        It does not after two engines have run: no behaviour is specified then.
        """
        played.transitions += 1
        trail = played.trail
        known = len(trail)
        trail.setdefault(new, (before, action))
        if len(trail) == known:
            return False
        if action[0] in _LOOKS:
            return True
        broken = self._truth.broken_by(new)
        if not broken:
            return True
        for prop, seen in broken:
            played.breaches.append((prop, seen, new, action))
        return not _is_the_end(broken)

    def _follow(
        self, played: Round, starts: list[State], successors: list[Successor]
    ) -> list[State]:
        """Follow a round to its ends; return the states on the way in which faults may strike."""
        places, is_reduced = self._loop_places, self._reduced
        stack = starts
        within: list[State] = []
        while stack:
            state = stack.pop()
            loops = [state[place_of_loop] for place_of_loop in places]
            if is_reduced and at.TO_BEGIN in loops:
                moved = self._heartbeats(played, state)
                if moved is None:
                    continue
                state = moved
                loops = [state[place_of_loop] for place_of_loop in places]
            if max(loops) < 0:
                self._end(played, state, successors)
                continue
            if state[at.BUDGET]:
                within.append(state)
            self._move(played, state, loops, stack, within)
        return within

    def _heartbeats(self, played: Round, state: State) -> Optional[State]:
        """Write all unchanged records; return None if that leads to a known state."""
        cluster = self._cluster
        for host, p in enumerate(self._places):
            if state[p + at.LOOP] != at.TO_BEGIN:
                continue
            found, own = cluster.found(state, host)
            if own and (own != state[p + at.SLOT] or state[p + at.FLAGS] & at.FRESH):
                continue
            new = cluster.write(state, host, found, own)
            if not self._enter(played, state, new, self._writes[host]):
                return None
            state = new
        return state

    def _struck(self, played: Round, within: list[State]) -> list[State]:
        """Return the new states after faults within a round."""
        struck: list[State] = []
        for state in within:
            loops = [state[place_of_loop] for place_of_loop in self._loop_places]
            if not any(self._has_found(loop) for loop in loops):
                continue
            if at.OVER in loops:
                found = self._faults.while_some_have_read(state)
            else:
                found = self._faults.between_write_and_read(state)
            struck += [
                new
                for new, kind, host in found
                if self._enter(played, state, new, (kind, host, ""))
            ]
        return struck

    def _has_found(self, loop: int) -> bool:
        return loop > 0 and type(self._cluster.steps.numbers.known[loop]) is Found

    def _move(
        self,
        played: Round,
        state: State,
        loops: list[int],
        stack: list[State],
        within: list[State],
    ) -> None:
        """Take the next action of each agent, and push the states after it on the stack."""
        cluster = self._cluster
        readers: list[tuple[int, Decision]] = []
        acts: list[tuple[State, Action]] = []
        is_still = True
        for host, loop in enumerate(loops):
            if loop < 0:
                continue
            if loop == at.TO_BEGIN:
                found, own = cluster.found(state, host)
                acts.append((cluster.write(state, host, found, own), self._writes[host]))
            elif self._has_found(loop):
                decision = cluster.decision(state, host)
                is_still = is_still and not decision.looks_again
                readers.append((host, decision))
                if decision.breaches:
                    self._note(played, state, host, decision)
            else:
                acts.append(self._performed(played, state, host, loop))
        if not acts and is_still:
            if len(readers) > 1:
                self._judge_agreement(played, state, readers)
            if self._reduced:
                self._together(played, state, readers, stack, within)
                return
        acts += [(self._read(played, state, *reader), self._reads[reader[0]]) for reader in readers]
        for new, action in acts:
            if self._enter(played, state, new, action):
                stack.append(new)

    def _read(self, played: Round, state: State, host: int, decision: Decision) -> State:
        """Return the state after a host has read, and made another pass if it took an edge."""
        new = self._cluster.read(state, host, decision)
        if self._reduced and decision.looks_again:
            new = self._look_again(played, state, new, host)
        return new

    def _note(self, played: Round, state: State, host: int, decision: Decision) -> None:
        for prop, seen in decision.breaches:
            played.breaches.append((prop, f"host {host + 1} {seen}", state, self._reads[host]))

    def _performed(self, played: Round, state: State, host: int, loop: int) -> tuple[State, Action]:
        """Return the state after a host has carried out its orders, and the action."""
        self._judge_orders(played, state, host)
        word = ", ".join(self._cluster.steps.numbers.known[loop].effects)
        new = self._cluster.perform(state, host)
        if self._reduced:
            new = self._look_again(played, state, new, host)
        return new, ("order", host + 1, word)

    def _look_again(self, played: Round, before: State, state: State, host: int) -> State:
        """Make further passes of a host after an edge, until it has orders or takes no edge."""
        cluster = self._cluster
        place_of_loop = self._places[host] + at.LOOP
        for _ in range(_EDGES_MAX):
            if state[place_of_loop] != at.TO_BEGIN:
                return state
            found, own = cluster.found(state, host)
            state = cluster.write(state, host, found, own)
            decision = cluster.decision(state, host)
            if decision.breaches:
                self._note(played, before, host, decision)
            state = cluster.read(state, host, decision)
        text = f"host {host + 1} takes one edge after the other and never comes to rest"
        played.breaches.append((Property.WAY_OUT, text, before, ("read", host + 1, "")))
        new = list(state)
        new[place_of_loop] = at.OVER
        return tuple(new)

    def _together(
        self,
        played: Round,
        state: State,
        readers: list[tuple[int, Decision]],
        stack: list[State],
        within: list[State],
    ) -> None:
        """Take all readings; if faults are left, also some of them, for faults in between."""
        read = [state]
        for host, decision in readers:
            with_host = [self._cluster.read(each, host, decision) for each in read]
            # If faults are left, also keep the states in which this host has not read.
            read = [*read, *with_host] if state[at.BUDGET] else with_host
        everybody = read[-1]
        names = [str(host + 1) for host, _ in readers]
        if self._enter(played, state, everybody, ("read", 0, ", ".join(names))):
            stack.append(everybody)
        for mask in range(1, len(read) - 1):
            few = ", ".join(name for index, name in enumerate(names) if mask >> index & 1)
            rest = ", ".join(name for index, name in enumerate(names) if not mask >> index & 1)
            if self._enter(played, state, read[mask], ("read", 0, few)):
                within.append(read[mask])
            self._enter(played, read[mask], everybody, ("read", 0, rest))

    def _end(self, played: Round, state: State, successors: list[Successor]) -> None:
        for new, fault, host in self._passing.ticks(state):
            played.transitions += 1
            action: Action = (fault or "tick", host, "")
            broken = self._truth.broken_by(new)
            for prop, seen in broken:
                played.breaches.append((prop, seen, state, action))
            if broken and _is_the_end(broken):
                continue
            target = successors if not fault else played.other
            target.append(Successor(new, state, action))

    def _judge_orders(self, played: Round, state: State, host: int) -> None:
        orders = self._cluster.steps.numbers.known[state[place(host) + at.LOOP]].effects
        action: Action = ("order", host + 1, ", ".join(orders))
        for word in orders:
            for prop, seen in self._orders.breaches_of(state, host, word):
                played.breaches.append((prop, f"host {host + 1} {seen}", state, action))

    def _judge_agreement(
        self, played: Round, state: State, readers: list[tuple[int, Decision]]
    ) -> None:
        """Record a breach where two hosts with the same view name different placements."""
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
