"""A host whose looks may be skipped: when it looked, what it wrote, whose heartbeats it trusts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Optional

from he_fsm.crowd import CrowdSightings
from he_fsm.liveness import NEVER
from he_fsm.memory import Sighting
from he_fsm.metadata.record import HostRecord
from he_fsm.scenario.model import World
from he_fsm.simulate.host import Agent, SimHost
from he_fsm.simulate.idle.looks import Asked, Look, first_with_timestamp_of, last_shown
from he_fsm.simulate.page import Page
from he_fsm.simulate.schedule import FIRST, Moment
from he_fsm.simulate.storage import Storage
from he_fsm.step import Step

# A damaged storage may show a copy of up to eight writes ago.
COPIES = 8
# A pulse with more looks than this forgets those that matter no more.
_LOOKS_MAX = 64
# Rounding between clocks must not decide whether a heartbeat comes in time.
_ROUNDING_S = 1e-3


class Spans(NamedTuple):
    """
    How long things matter, by the loops of the slowest and the fastest clock.

    `memory_s`: what is remembered of a heartbeat depends on the looks of so long before, its
    host's and the reader's (true time); these are `looks` loops at most. `fresh_s`: who has seen
    a heartbeat no longer ago sees the next one before it takes the host for silent (any clock).
    """

    memory_s: float
    looks: int
    fresh_s: float

    @classmethod
    def of(cls, times: World, dead_after_s: float, slowest: float, fastest: float) -> Spans:
        """Compute them by the surroundings, and by the rates of the clocks."""
        # Between two times that one sees another grow: a loop of each, and a second, for a
        # timestamp has whole ones.
        grows_s = (2 * (times.loop_s + times.jitter_s) + 1.0) / slowest
        memory_s = times.storage_latency_s + grows_s + _ROUNDING_S
        looks = 1 + int(memory_s * fastest / times.loop_s)
        return cls(memory_s, looks, dead_after_s - grows_s * fastest - _ROUNDING_S)


class Trust:
    """
    One host's trust in the heartbeats of another, which it does not read while it has it.

    `seen` is what it remembered of the other after the look with which this trust began.
    """

    __slots__ = ("_last", "_last_from", "pulse", "seen")

    def __init__(self, seen: Sighting, pulse: Pulse) -> None:
        """Begin: *seen* is a heartbeat of *pulse* that has really been read."""
        self.seen = seen
        self.pulse = pulse
        # Once the pulse has ended: what is remembered in the end, and from which look on.
        self._last: Optional[Sighting] = None
        self._last_from: Moment = (-NEVER, FIRST)

    def remembered(self, looks: list[Look], latency_s: float) -> Sighting:
        """Return what the one that trusts remembers after the last of its *looks*."""
        last = looks[-1]
        if self._last is not None and (last.time, last.turn) >= self._last_from:
            return self._last
        seen, theirs = self.seen, self.pulse.looks
        place = last_shown(theirs, last.time, last.turn, latency_s)
        if place is None or seen.timestamp is None or int(theirs[place].now) <= seen.timestamp:
            return seen
        first = first_with_timestamp_of(theirs, place)
        grew_at = last.now
        for look in reversed(looks):
            if not first.is_shown(look.time, look.turn, latency_s):
                break
            grew_at = look.now
        return _grown(seen, theirs[place], grew_at)

    def end(self, viewer: Pulse, latency_s: float) -> float:
        """
        Note that no more heartbeats come; *viewer* trusts in those that it has still to read.

        Returns:
            When the viewer sees the other grow for the last time, on its own clock.
        """
        seen, theirs = self.seen, self.pulse.looks
        place = len(theirs) - 1
        if seen.timestamp is None or int(theirs[place].now) <= seen.timestamp:
            self._last = seen
            return -NEVER if seen.grew_at is None else seen.grew_at
        first, last = first_with_timestamp_of(theirs, place), viewer.looks[-1]
        if first.is_shown(last.time, last.turn, latency_s):
            self._last = self.remembered(viewer.looks, latency_s)
        else:
            shown_from = max((first.time + latency_s, FIRST), (first.time, first.turn))
            look = viewer.look_at(viewer.first_loop(shown_from))
            self._last_from = look.time, look.turn
            self._last = _grown(seen, theirs[place], look.now)
        return -NEVER if self._last.grew_at is None else self._last.grew_at


class Trusts:
    """
    In whom a pulse trusts, by id.

    One of a crowd trusts in all *founders* from the beginning on. What it had seen of each with its
    last look before is alike, and is made when somebody asks for it.
    """

    __slots__ = ("_founders", "_gone", "_known", "_own_id", "_seen_at", "_since")

    def __init__(self, own_id: int) -> None:
        """Begin with nobody."""
        self._own_id = own_id
        self._known: dict[int, Trust] = {}
        self._founders: Mapping[int, Founder] = {}
        # The founders whose trust is another by now, or none.
        self._gone: set[int] = {own_id}
        self._seen_at = self._since = -NEVER

    def begin_with(self, founders: Mapping[int, Founder], seen_at: float, since: float) -> None:
        """Trust in all founders: each has grown *seen_at*, and is known *since* (own clock)."""
        self._founders = founders
        self._seen_at = seen_at
        self._since = since

    def __contains__(self, slot: int) -> bool:
        """Whether it trusts in a host."""
        return slot in self._known or (slot in self._founders and slot not in self._gone)

    def __len__(self) -> int:
        """Return in how many hosts it trusts."""
        if not self._founders:
            return len(self._known)
        return len(self._known) + len(self._founders) - len(self._gone)

    def __setitem__(self, slot: int, trust: Trust) -> None:
        """Trust in a host."""
        self._known[slot] = trust
        if slot in self._founders:
            self._gone.add(slot)

    def get(self, slot: int) -> Optional[Trust]:
        """Return the trust in a host; None: there is none."""
        found = self._known.get(slot)
        if found is None and slot in self._founders and slot not in self._gone:
            found = self._of_founder(slot)
            self[slot] = found
        return found

    def pop(self, slot: int) -> Trust:
        """Trust in a host no more; return the trust that there was. Raises `KeyError`."""
        self.get(slot)
        return self._known.pop(slot)

    def items(self) -> Iterator[tuple[int, Trust]]:
        """Return all."""
        yield from self._known.items()
        for slot in self._founders:
            if slot not in self._gone:
                yield slot, self._of_founder(slot)

    def _of_founder(self, slot: int) -> Trust:
        pulse, record = self._founders[slot]
        seen = Sighting(record, record.timestamp, self._seen_at, self._since, record, None)
        return Trust(seen, pulse)


def is_healthy(seen: Sighting, grew_from: float) -> bool:
    """Whether what was seen of a host is a heartbeat as any other, and grew lately enough."""
    return (
        seen.problem is None
        and not seen.is_newer
        and seen.record is seen.content
        and seen.grew_at is not None
        and seen.grew_at >= grew_from
    )


def _grown(seen: Sighting, look: Look, grew_at: float) -> Sighting:
    record = look.record
    return Sighting(record, record.timestamp, grew_at, seen.since, record, None)


class Pulse:
    """
    One host whose looks may be skipped: from `since` on its slot shows nothing but its heartbeats.

    Its agent's looks are noted one by one, the skipped ones when somebody wants to know.
    """

    __slots__ = (
        "_page",
        "agent",
        "answered",
        "dues",
        "given_up_at",
        "has_looked",
        "host",
        "looks",
        "owed",
        "page_grows",
        "page_since",
        "sighting",
        "since",
        "stale",
        "strangers",
        "trusts",
        "unread",
        "until",
    )

    def __init__(self, host: SimHost, agent: Agent, page: Page, since: Moment) -> None:
        """Begin with the first page, which can be read from *since* on; nobody is trusted yet."""
        self.host = host
        self.agent = agent
        self.looks: list[Look] = []
        # Whether one of them was made, and not before the run.
        self.has_looked = True
        # How many of the last of them wrote a heartbeat that is not on the storage yet.
        self.owed = 0
        self.since = since
        self.begin_page(page, since)
        # From when on those of its heartbeats can be read that were written last and could not yet.
        self.unread: list[Moment] = []
        # In whom it trusts, by id; of those, in whose slot there is or was something else to read
        # since it last looked; and the other pulses, in which it does not trust yet.
        self.trusts = Trusts(host.host_id)
        self.stale: set[int] = set()
        self.strangers: set[int] = set()
        # When it would find one of them silent (its own clock), if it did not look before.
        self.given_up_at = NEVER
        # It has to look at the first of its loops after each of these (a heap).
        self.dues: list[Moment] = []
        # What nothing came of at its last look, and until when that is so, if nothing happens.
        self.answered: Optional[Asked] = None
        self.until = -NEVER

    @property
    def page(self) -> Page:
        """What it writes with its looks."""
        return self._page

    def begin_page(self, page: Page, since: Moment) -> None:
        """Change the content of its heartbeats, which can be read from *since* on."""
        record = page.record
        self._page = page
        self.page_since = since
        # Its first record is of a later second than all that it wrote before.
        self.page_grows = bool(self.looks) and int(self.looks[-1].now) < record.timestamp
        # What those remember of it who trust in it: it grows for ever.
        self.sighting = Sighting(record, record.timestamp, NEVER, 0.0, record, None)

    def write(self, look: Look) -> None:
        """Note a look with which it writes a heartbeat; its text may be another."""
        self.looks.append(look)
        self.owed += 1
        self._page = look.page

    def first_loop(self, key: Moment) -> int:
        """Return the number of its first loop that is not before *key*."""
        time, turn = key
        loops, clock = self.agent.loops, self.host.clock
        index = loops.first_at(time, clock)
        if self.host.place < turn and clock.true_time(loops.at(index)) == time:
            index += 1
        return index

    def look_at(self, index: int) -> Look:
        """Return the look that its agent makes at one of its loops, where nothing wakes it."""
        asked_for = self.agent.loops.at(index)
        clock = self.host.clock
        time = clock.true_time(asked_for)
        # A look is never before the time that it was asked for, whatever rounding says.
        return Look(time, self.host.place, max(asked_for, clock.monotonic(time)), self._page)

    def catch_up(self, key: Moment, count: int) -> None:
        """Note the looks before *key* that were skipped; only the last *count* can matter."""
        agent = self.agent
        loops = agent.loops
        if self.host.clock.true_time(loops.next) > key[0]:
            return
        last = self.first_loop(key)
        if last == loops.index:
            return
        looks = self.looks
        for index in range(max(loops.index, last - count), last):
            looks.append(self.look_at(index))
        self.owed += last - loops.index
        loops.go_to(last)
        agent.heard_at = looks[-1].now
        agent.looked_at, agent.looks_now = looks[-1].time, 0

    def newly_trusted(
        self, pulses: Mapping[int, Pulse], moment: Moment, fresh_s: float
    ) -> dict[int, Sighting]:
        """Trust in those of whom a heartbeat has just been read; return what is seen of them."""
        agent, grew_from = self.agent, self.looks[-1].now - fresh_s
        sightings, trusted = agent.memory.sightings, {}
        for slot in list(self.strangers):
            other, seen = pulses[slot], sightings.get(slot)
            if seen is None or other.page_since >= moment:
                continue
            # Its next heartbeat has to come before it would be taken for silent.
            if slot in agent.liveness.alive and is_healthy(seen, grew_from):
                trusted[slot] = other.sighting
                self.trusts[slot] = Trust(seen, other)
                self.strangers.discard(slot)
        return trusted

    def remember(self, sightings: Mapping[int, Sighting]) -> None:
        """Leave the agent's memory as its last look left it, with these sightings."""
        agent = self.agent
        if self.has_looked:
            agent.memory = agent.memory.seeing(sightings, self.looks[-1].now)
        else:
            agent.memory = agent.memory._replace(sightings=sightings)

    def holds_until(self, decision: Step, dead_after_s: float) -> float:
        """Return when an answer may be another though nothing happens (own monotonic clock)."""
        until = decision.idle_until
        liveness, sightings = decision.liveness, decision.memory.sightings
        if len(liveness.alive) + len(liveness.pending) == 1 + len(self.trusts):
            # It is itself alive, and so are all in whom it trusts.
            return until
        strangers = sightings.others if type(sightings) is CrowdSightings else sightings
        for slot, seen in strangers.items():
            # Who is silent will be noticed.
            is_watched = slot in liveness.alive or slot in liveness.pending
            if is_watched and slot not in self.trusts:
                silent_from = seen.since if seen.grew_at is None else seen.grew_at
                until = min(until, silent_from + dead_after_s)
        return until

    def write_owed(self, storage: Storage, latency_s: float, now: float, copies: int) -> None:
        """
        Write the heartbeats that are not on the storage yet.

        Of those that can be read already only the last one matters, and as many as the storage
        keeps *copies*.
        """
        looks = self.looks
        oldest = max(0, len(looks) - self.owed)
        self.owed = 0
        first = len(looks) - 1
        while first > oldest and looks[first].time + latency_s > now:
            first -= 1
        self.unread = [key for key in self.unread if key[0] > now]
        for look in looks[max(oldest, min(first, len(looks) - copies)) :]:
            note = look.page.note(look.record)
            shown_at = storage.write_late(self.host.host_id, note, look.time)
            if shown_at > now:
                self.unread.append((shown_at, FIRST))

    def forget(self, before: float) -> None:
        """Forget the looks before a time, if they are many, but for the last ones."""
        looks = self.looks
        if len(looks) <= _LOOKS_MAX:
            return
        last, count = len(looks) - COPIES, 0
        while count < last and looks[count].time < before:
            count += 1
        del looks[:count]


# It stands below the class that it names: mypyc looks at the classes of a named tuple's parts when
# it makes the tuple's class, and ends with a segmentation fault where one is not there yet (1.20).
class Founder(NamedTuple):
    """A host of a crowd that has looked and written for long when the run begins."""

    pulse: Pulse
    # What its slot shows at the beginning.
    record: HostRecord
