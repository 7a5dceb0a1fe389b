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
        return tuple(action for action in reversed(actions) if action != _BEGIN)


class Rounds:
    """Plays rounds of a cluster."""

    def __init__(self, cluster: Cluster, faults: Faults, *, reduced: bool = True) -> None:
        """Take the cluster and what may strike it."""
        self._cluster = cluster
        self._faults = faults
        self._reduced = reduced
        self._places = [place(host) for host in range(cluster.hosts)]
        self._loop_places = [p + at.LOOP for p in self._places]
        self._writes: list[Action] = [("write", host + 1, "") for host in range(cluster.hosts)]
        self._reads: list[Action] = [("read", host + 1, "") for host in range(cluster.hosts)]

    def play(self, state: State) -> Round:
        """Give all that may come of a state by one round."""
        played = Round()
        played.trail[state] = None, _BEGIN
        within = self._follow(played, [state], played.quiet)
        starts = [
            new
            for new, kind, host in self._faults.before_a_round(state)
            if self._enter(played, state, new, (kind, host, ""))
        ]
        starts += self._struck(played, within)
        # Each time around one fault more is used up.
        while starts:
            within = self._follow(played, starts, played.other)
            starts = self._struck(played, within)
        return played

    def _enter(self, played: Round, before: State, new: State, action: Action) -> bool:
        """
        Note a state within a round; whether exploring goes on from it.

        What comes after two engines is nobody's design.
        """
        played.transitions += 1
        trail = played.trail
        if new in trail:
            return False
        trail[new] = before, action
        if action[0] in _LOOKS:
            return True
        broken = self._cluster.broken_by(new)
        for prop, seen in broken:
            played.breaches.append((prop, seen, new, action))
        return not _is_the_end(broken)

    def _follow(
        self, played: Round, starts: list[State], successors: list[Successor]
    ) -> list[State]:
        """Follow a round to its ends; give the states on the way in which faults may strike."""
        places = self._loop_places
        stack = starts
        within: list[State] = []
        while stack:
            state = stack.pop()
            if self._reduced:
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
        """Let all write that have nothing new to say; None where that leads to what was seen."""
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
        """Give what faults within a round make of the states on its way."""
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
        """Take each next action of each agent; what comes of it is to be followed."""
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
                is_still = is_still and not decision.has_edge
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
        """Let a host read, and look again after an edge."""
        new = self._cluster.read(state, host, decision)
        if self._reduced and decision.has_edge:
            new = self._look_again(played, state, new, host)
        return new

    def _note(self, played: Round, state: State, host: int, decision: Decision) -> None:
        for prop, seen in decision.breaches:
            played.breaches.append((prop, f"host {host + 1} {seen}", state, self._reads[host]))

    def _performed(self, played: Round, state: State, host: int, loop: int) -> tuple[State, Action]:
        """Let a host carry out its orders."""
        self._judge_orders(played, state, host)
        word = ", ".join(self._cluster.steps.numbers.known[loop].effects)
        new = self._cluster.perform(state, host)
        if self._reduced:
            new = self._look_again(played, state, new, host)
        return new, ("order", host + 1, word)

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
        """Let all read; where faults are left also some of them, for what strikes in between."""
        read = [state]
        for host, decision in readers:
            with_host = [self._cluster.read(each, host, decision) for each in read]
            # Where faults are left, also those of whom this host is none.
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
