"""Hosts that have kept nothing, as the others' looks show them: by their scores and silences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from he_fsm.policy import Policy
from he_fsm.scenario.beginning.likely import Rated
from he_fsm.scenario.beginning.story import Fact, HostStory, Moment
from he_fsm.scenario.model import Host

# Returns the common time of a host's moment (seconds since 1970).
TimeOf = Callable[[int, Moment], float]


@attrs.define
class Unkept:
    """
    Collects what befell such hosts.

    `entries`: those of a timeline, each with its common time and host. `notes`: what was assumed.
    """

    stories: Mapping[int, HostStory]
    time_of: TimeOf
    policy: Policy
    entries: list[tuple[float, str, Mapping[str, Any]]] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)

    def hosts(self, t: float) -> Iterator[Host]:
        """Return the hosts as they were at a time; note what befell them after it."""
        seen: dict[int, list[tuple[float, Fact]]] = {}
        for viewer, story in self.stories.items():
            for host_id, facts in story.others.items():
                if host_id not in self.stories:
                    found = seen.setdefault(host_id, [])
                    found += [(self.time_of(viewer, fact.at), fact) for fact in facts]
        for host_id, found in seen.items():
            found.sort(key=lambda each: each[0])
            before = [fact for at, fact in found if at <= t] or [found[0][1]]
            begin = before[-1].value
            readings: dict[str, Any] = self._likely(begin)
            self.notes.append(
                f"host {host_id} has kept nothing that is here: taken as its records show it"
            )
            yield Host(
                id=host_id,
                hostname=begin["hostname"] or f"host{host_id}",
                maintenance=begin["maintenance"],
                agent_running=begin["alive"] and not begin["stopped"],
                powered=not begin["dead"],
                **readings,
            )
            self._happenings(host_id, begin, [each for each in found if each[0] > t])

    def _happenings(
        self, host_id: int, before: Mapping[str, Any], found: Sequence[tuple[float, Fact]]
    ) -> None:
        for index, (t, fact) in enumerate(found):
            now = fact.value
            readings = self._likely(now)
            if now["score"] != before["score"] and readings:
                self._note(t, host_id, {"set": readings})
            if now["maintenance"] != before["maintenance"]:
                self._note(t, host_id, {"maintenance": "on" if now["maintenance"] else "off"})
            if now["stopped"] and not before["stopped"]:
                self._note(t, host_id, {"agent": "stop"})
            elif before["alive"] and not now["alive"] and not now["stopped"]:
                dies = _dies([each for _, each in found[index:]])
                since = t - self.policy.dead_after_s
                self._note(since, host_id, {"power": "off"} if dies else {"agent": "kill"})
            elif now["alive"] and not before["alive"]:
                self._note(t, host_id, {"power": "on"} if before["dead"] else {"agent": "start"})
            before = now

    def _note(self, t: float, host_id: int, entry: Mapping[str, Any]) -> None:
        self.entries.append((t, str(host_id), entry))

    def _likely(self, record: Mapping[str, Any]) -> dict[str, float]:
        """Return the simplest readings that explain a score."""
        if not record["score"] or record["maintenance"]:
            return {}
        rated = Rated(score=record["score"], policy=self.policy, known={}, vm_is_here=record["vm"])
        likely = rated.likely()
        return {} if likely is None else dict(likely.readings)


def _dies(found: Sequence[Fact]) -> bool:
    """Return whether a host that is silent is known to be dead before it is alive again."""
    for fact in found:
        if fact.value["alive"]:
            return False
        if fact.value["dead"]:
            return True
    return False
