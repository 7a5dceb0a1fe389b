"""
What the hosts of a large cluster see alike, kept once for all of them.

Whoever trusts in a pulse remembers of it what all others do who trust in it (`Pulse.sighting`). So
the pulses in which all hosts have trusted from the beginning make a crowd (`he_fsm.crowd`): each
host remembers that crowd, and its own exceptions to it. A host in which somebody does not trust, or
no more, is such an exception, for that one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import Callable, Final, NamedTuple, Optional, Union

from he_fsm.crowd import Crowd, CrowdSightings, CrowdSlots
from he_fsm.liveness import NEVER
from he_fsm.memory import Sighting
from he_fsm.metadata.record import HostRecord, SlotProblem
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.simulate.before import LONG_S, Before, LastLook
from he_fsm.simulate.host import Agent, SimHost
from he_fsm.simulate.idle.looks import Look
from he_fsm.simulate.idle.pulse import Founder, Pulse
from he_fsm.simulate.schedule import FIRST, Moment
from he_fsm.simulate.world import World

# With fewer hosts it is quicker to look at each of them.
CROWD_MIN: Final = 12

Content = Union[HostRecord, SlotProblem]
Sightings = Mapping[int, Sighting]


def is_crowd(world: World) -> bool:
    """Whether hosts are so many that what they see alike is worth being kept once."""
    count = len(world.hosts)
    return count >= CROWD_MIN and len(world.by_id) == count and not world.times.cold


def beats(world: World, host: SimHost, agent: Agent) -> bool:
    """Whether a host's agent looks, and writes its record, with every loop."""
    return (
        host.agent is agent
        and not agent.is_frozen
        and host.is_well
        and world.is_uniform
        and world.lockspace.holders.get(host.host_id) is host.member
    )


def founding_pulses(world: World, last_looks: Mapping[str, LastLook]) -> dict[int, Pulse]:
    """Return the hosts that have looked and written for long, with their last looks, as pulses."""
    found = {}
    for name, last in last_looks.items():
        host = world.hosts[name]
        agent = host.agent
        if agent is None or agent.memory.waits_on_evidence or not beats(world, host, agent):
            continue
        if world.storage.is_plain(host.host_id):
            pulse = Pulse(host, agent, last.page, (-NEVER, FIRST))
            pulse.looks.append(Look(last.time, host.place, last.now, last.page))
            pulse.has_looked = False
            agent.own = last.page.record
            found[host.host_id] = pulse
    return found


class Change(NamedTuple):
    """Another page of a member of the crowd: from when on it can be read, and what is seen then."""

    since: Moment
    slot: int
    seen: Sighting


class Crowds:
    """
    The crowd as it is now, and what hosts see of it; without `found` there is none.

    When a member begins another page, whoever trusts in it reads that with its first look after
    `Pulse.page_since`, and goes on to trust in it: the page is written in place of a heartbeat, or
    in the same second as one. So the crowd as a look sees it has the pages that can be read at that
    look, and nothing has to be noted for each host.
    """

    __slots__ = ("_board", "_coming", "_crowd", "_founders", "_loners", "_read", "odd", "sleepers")

    def __init__(self) -> None:
        """Begin with no crowd."""
        self._crowd: Optional[Crowd] = None
        self._founders: dict[int, Founder] = {}
        # The pages that nobody can read yet, in the order of time.
        self._coming: deque[Change] = deque()
        # Pulses that see some member of the crowd otherwise, and those that do not expect a page.
        self.odd: dict[int, Pulse] = {}
        self.sleepers: dict[int, Pulse] = {}
        # What was read last, the slots in it that are no member's, and what a host without
        # exceptions reads then.
        self._board: Optional[Whiteboard] = None
        self._read: Optional[Whiteboard] = None
        self._loners: dict[int, Optional[Content]] = {}

    def found(
        self,
        world: World,
        pulses: Mapping[int, Pulse],
        before: Before,
        last_looks: Mapping[str, LastLook],
    ) -> None:
        """Make a crowd of the pulses, and let all agents begin with what they have seen of it."""
        self._crowd = Crowd.of({slot: pulse.sighting for slot, pulse in pulses.items()})
        self._founders = {slot: Founder(each, each.page.record) for slot, each in pulses.items()}
        rest = before.without(self._founders)
        for name, last in last_looks.items():
            host = world.hosts[name]
            agent, pulse = host.agent, pulses.get(host.host_id)
            if agent is None:
                continue
            if pulse is None:
                sightings: Sightings = before.seen_by(host.host_id, last.now)
            else:
                others = rest.seen_by(host.host_id, last.now)
                sightings = CrowdSightings(self._crowd, others, host.host_id)
                pulse.trusts.begin_with(self._founders, last.now, last.now - LONG_S)
            agent.memory = agent.memory._replace(sightings=sightings)

    # Who is in it.

    def join(self, pulse: Pulse) -> None:
        """Take a pulse that begins; only those that founded the crowd are ever in it."""
        slot = pulse.host.host_id
        if self._crowd is not None and slot in self._founders:
            self._crowd = self._crowd.changed({slot: pulse.sighting})
        if self._crowd is not None:
            self.odd[slot] = pulse

    def leave(self, slot: int) -> None:
        """Note that a host is no pulse any more."""
        self.odd.pop(slot, None)
        self.sleepers.pop(slot, None)
        if self._crowd is not None and slot in self._crowd.sightings:
            self._crowd = self._crowd.without(slot)
            self._coming = deque(each for each in self._coming if each.slot != slot)

    def has(self, slot: int) -> bool:
        """Whether a host is a member of the crowd."""
        return self._crowd is not None and slot in self._crowd.sightings

    def take_page(self, pulse: Pulse) -> None:
        """Take the page that a member of the crowd has begun."""
        slot = pulse.host.host_id
        if self.has(slot):
            self._coming.append(Change(pulse.page_since, slot, pulse.sighting))

    def at(self, moment: Moment) -> Optional[Crowd]:
        """Return the crowd as a look at a moment sees it; moments never go back."""
        if self._coming and self._coming[0].since < moment and self._crowd is not None:
            pages: dict[int, Sighting] = {}
            while self._coming and self._coming[0].since < moment:
                change = self._coming.popleft()
                pages[change.slot] = change.seen
            self._crowd = self._crowd.changed(pages)
        return self._crowd

    def next_page(self, pulse: Pulse) -> Optional[Moment]:
        """
        Return from when on a host can read a page that it can't read yet; None: there is none.

        It then has to be woken for the next one (`sleepers`).
        """
        slot = pulse.host.host_id
        for change in self._coming:
            if change.slot != slot:
                return change.since
        if self._crowd is not None and slot not in self.odd:
            self.sleepers[slot] = pulse
        return None

    # What a host sees of it.

    def is_older(self, seen: Sightings, moment: Moment) -> bool:
        """Whether sightings are of the crowd as it was before."""
        return type(seen) is CrowdSightings and seen.crowd is not self.at(moment)

    def changed(self, pulse: Pulse, changed: Mapping[int, Sighting], moment: Moment) -> Sightings:
        """Return sightings of the present crowd, with exceptions: those in whom trust has ended."""
        seen, crowd = pulse.agent.memory.sightings, self.at(moment)
        if type(seen) is CrowdSightings and crowd is not None:
            others = {**seen.others, **changed} if changed else seen.others
            return self._noted(pulse, CrowdSightings(crowd, others, seen.own_id))
        return {**seen, **changed} if changed else seen

    def trusting(self, pulse: Pulse, trusted: Mapping[int, Sighting]) -> Sightings:
        """Return sightings with those that are trusted from now on."""
        seen, own_id = pulse.agent.memory.sightings, pulse.host.host_id
        crowd = seen.crowd if type(seen) is CrowdSightings else self._crowd
        if crowd is None:
            return {**seen, **trusted}
        if type(seen) is CrowdSightings:
            others = {**seen.others, **trusted}
        else:
            others = {**seen, **trusted}
            if any(slot not in others and slot != own_id for slot in crowd.sightings):
                return others
        known = crowd.sightings
        rest = {slot: each for slot, each in others.items() if known.get(slot) is not each}
        return self._noted(pulse, CrowdSightings(crowd, rest, own_id))

    def _noted(self, pulse: Pulse, seen: CrowdSightings) -> CrowdSightings:
        """Note whether a pulse sees some member of the crowd otherwise than all do."""
        slot = pulse.host.host_id
        if seen.crowd.ids.isdisjoint(seen.others):
            self.odd.pop(slot, None)
        else:
            self.odd[slot] = pulse
            self.sleepers.pop(slot, None)
        return seen

    def read(
        self,
        board: Whiteboard,
        seen: CrowdSightings,
        strangers: Collection[int],
        shown: Callable[[int], Optional[HostRecord]],
    ) -> Whiteboard:
        """Return what a host reads; *shown*: the record that a stranger's slot shows, if any."""
        crowd = seen.crowd
        read = self._read
        if read is None or board is not self._board or _crowd_of(read) is not crowd:
            if board is not self._board or read is None or _ids_of(read) is not crowd.ids:
                ids = crowd.ids
                self._loners = {i: content for i, content in board.slots.items() if i not in ids}
            self._board = board
            read = self._read = Whiteboard(board.global_block, CrowdSlots(crowd, self._loners))
        if not strangers and all(slot in self._loners for slot in seen.others):
            return read
        others = dict(self._loners)
        for slot in (*seen.others, *strangers):
            others[slot] = board.slots.get(slot)
        for slot in strangers:
            record = shown(slot)
            if record is not None:
                others[slot] = record
        return Whiteboard(board.global_block, CrowdSlots(crowd, others))


def _crowd_of(read: Whiteboard) -> Optional[Crowd]:
    return read.slots.crowd if type(read.slots) is CrowdSlots else None


def _ids_of(read: Whiteboard) -> Optional[frozenset[int]]:
    crowd = _crowd_of(read)
    return None if crowd is None else crowd.ids
