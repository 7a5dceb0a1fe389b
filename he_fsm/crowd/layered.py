"""What one host sees of a crowd, with its exceptions, as the mappings that a decision reads."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Optional, Union

from he_fsm.crowd.crowd import Crowd
from he_fsm.memory import Sighting
from he_fsm.metadata.record import HostRecord, SlotProblem
from he_fsm.placement import Placement
from he_fsm.policy import Policy

Content = Union[HostRecord, SlotProblem]


class CrowdSightings(Mapping[int, Sighting]):
    """
    What the host *own_id* has seen of others: a crowd, but for itself, and *others*.

    Who is in *others* is seen as there, whatever the crowd says.
    """

    __slots__ = ("crowd", "others", "own_id")

    def __init__(self, crowd: Crowd, others: Mapping[int, Sighting], own_id: int) -> None:
        """Take the parts."""
        self.crowd = crowd
        self.others = others
        self.own_id = own_id

    def __getitem__(self, host_id: int) -> Sighting:
        """Return the sighting of a host; raises `KeyError`."""
        found = self.others.get(host_id)
        if found is not None:
            return found
        if host_id == self.own_id:
            raise KeyError(host_id)
        return self.crowd.sightings[host_id]

    def __iter__(self) -> Iterator[int]:
        """Return the hosts that have been seen."""
        yield from self.others
        for host_id in self.crowd.sightings:
            if host_id not in self.others and host_id != self.own_id:
                yield host_id

    def __len__(self) -> int:
        """Return how many hosts have been seen."""
        known = self.crowd.sightings
        twice = sum(1 for host_id in self.others if host_id in known)
        is_own = self.own_id in known and self.own_id not in self.others
        return len(known) + len(self.others) - twice - is_own

    def trusts(self, host_id: int) -> bool:
        """Return whether a host is seen as the crowd sees it."""
        known = self.crowd.sightings
        return host_id in known and host_id not in self.others and host_id != self.own_id

    def with_changes(self, changed: Mapping[int, Sighting]) -> CrowdSightings:
        """Return the same with some sightings changed."""
        return CrowdSightings(self.crowd, {**self.others, **changed}, self.own_id)

    def alive(self, lives: Collection[int], dead_hosts: frozenset[int]) -> frozenset[int]:
        """
        Return who lives.

        Args:
            lives: those of the others that live.
            dead_hosts: the ids that the lease manager reports dead.
        """
        known, others = self.crowd.sightings, self.others
        removed = [each for each in others if each in known and each not in lives]
        if dead_hosts:
            removed += [i for i in dead_hosts if i in known and i not in others]
        added = [each for each in lives if each not in known]
        if self.own_id not in known or self.own_id in dead_hosts:
            added.append(self.own_id)
        return self.crowd.alive(frozenset(added), frozenset(removed))

    def placement(
        self,
        own: Optional[HostRecord],
        alive: frozenset[int],
        pending: frozenset[int],
        policy: Policy,
    ) -> Placement:
        """Return who should run the engine; *own*: this host's record, None: it has none."""
        others = {host_id: seen.record for host_id, seen in self.others.items()}
        if own is not self.crowd.records.get(self.own_id):
            others[self.own_id] = own
        return self.crowd.placement(others, alive, pending, policy)


class CrowdSlots(Mapping[int, Content]):
    """
    What a reading of the whiteboard shows: a crowd's records, and *others* in place of them.

    None in *others*: that slot is empty.
    """

    __slots__ = ("crowd", "others")

    def __init__(self, crowd: Crowd, others: Mapping[int, Optional[Content]]) -> None:
        """Take the parts."""
        self.crowd = crowd
        self.others = others

    def __getitem__(self, host_id: int) -> Content:
        """Return what a slot holds; raises `KeyError` for an empty one."""
        found = self.others[host_id] if host_id in self.others else self.crowd.records[host_id]
        if found is None:
            raise KeyError(host_id)
        return found

    def __iter__(self) -> Iterator[int]:
        """Return the slots that are not empty, ascending."""
        members = (each for each in self.crowd.records if each not in self.others)
        filled = (each for each, content in self.others.items() if content is not None)
        return iter(sorted((*members, *filled)))

    def __len__(self) -> int:
        """Return how many slots are not empty."""
        return sum(1 for _ in self)

    def beside(self, seen: CrowdSightings) -> Optional[dict[int, Content]]:
        """
        Return the slots that may differ from what was seen before; None: all may.

        Where both are of one crowd, the other slots hold the records that were seen.
        """
        if seen.crowd is not self.crowd:
            return None
        found: dict[int, Content] = {}
        for host_id in (*self.others, *(i for i in seen.others if i not in self.others)):
            content = self.get(host_id)
            if content is not None:
                found[host_id] = content
        return found


def unlike_the_crowd(sightings: Mapping[int, Sighting]) -> Mapping[int, Sighting]:
    """Return those sightings that may have a problem: of a crowd none has, else any may."""
    return sightings.others if type(sightings) is CrowdSightings else sightings
