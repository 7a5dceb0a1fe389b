"""A scenario in which the same happens to the same hosts as several of them have kept it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Optional

import attrs

from he_fsm.policy import TALK, Policy
from he_fsm.scenario.beginning.story import Fact, HostStory, Run
from he_fsm.scenario.beginning.unkept import TimeOf, Unkept
from he_fsm.scenario.model import Engine, FailedStarts, Host, Scenario, TimelineEntry, Verb, World
from he_fsm.states.names import State

# A host that begins to look so many loops after the first one was not there at the beginning.
_LATE_LOOPS: Final = 12.0
# A host that looks no more, for so many loops before the end, has fallen silent.
_SILENT_LOOPS: Final = 3.0
# What a reading changes is measured before the look that shows it (seconds).
_BEFORE_S: Final = 0.001
_PLACES: Final = 3

# A fact that is a flag, and the entries that set and end it.
_FLAGS: Final[Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]] = {
    "maintenance": ({"maintenance": "on"}, {"maintenance": "off"}),
    "hypervisor": ({"hypervisor": "lost"}, {"hypervisor": "back"}),
    "broker": ({"broker": "kill"}, {"broker": "start"}),
    "storage": ({"storage": "cut"}, {"storage": "restore"}),
    "sanlock": ({"sanlock": "kill"}, {"sanlock": "start"}),
}


_PHRASES: Final = frozenset((Verb.STORAGE, Verb.STARTS, Verb.BOOTS, Verb.MIGRATIONS, Verb.ENGINE))


@attrs.frozen(kw_only=True)
class Told:
    """
    What is made of several hosts' stories.

    `begins_at`: the scenario's time 0 (common time). `edges`: the changes of state that the hosts
    went through since then, by host id, in order. `notes`: what was assumed or left out.
    """

    scenario: Scenario
    begins_at: float
    edges: Mapping[int, Sequence[tuple[str, str]]]
    notes: tuple[str, ...]


@attrs.define
class _Teller:
    """Makes one scenario; collects entries and notes meanwhile."""

    stories: Mapping[int, HostStory]
    time_of: TimeOf
    entries: list[tuple[float, str, Mapping[str, Any]]] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)

    def tell(self) -> Told:
        policy = self._policy()
        begins_at, ends_at = self._begin(policy), self._end()
        hosts = [self._host(host_id, begins_at, policy) for host_id in self.stories]
        unkept = Unkept(self.stories, self.time_of, policy)
        hosts += unkept.hosts(begins_at)
        self.entries += unkept.entries
        self.notes += unkept.notes
        hosts.sort(key=lambda host: host.id)
        for host_id in self.stories:
            self._happenings(host_id, begins_at, ends_at, policy)
        engine = self._engine(begins_at)
        is_global = self._global(begins_at)
        until = ends_at - begins_at + policy.loop_s
        scenario = Scenario(
            name="replay",
            about="What hosts have kept of their decisions, as a scenario.",
            policy=policy,
            world=self._world(policy),
            hosts=tuple(hosts),
            engine=engine,
            maintenance=is_global,
            timeline=tuple(self._timeline(begins_at, until)),
            until=round(until, _PLACES),
        )
        return Told(
            scenario=scenario,
            begins_at=begins_at,
            edges={host_id: self._edges(host_id, begins_at) for host_id in self.stories},
            notes=tuple(self.notes),
        )

    def _policy(self) -> Policy:
        lasts = [story.last for story in self.stories.values()]
        policies = {last.session.policy for last in lasts if last is not None}
        policy = next(iter(policies), TALK)
        if len(policies) > 1:
            self.notes.append("the hosts have different policies: that of the first one is taken")
        return policy

    def _begin(self, policy: Policy) -> float:
        """Return when all hosts that were there from the beginning know where they are."""
        firsts = {host_id: self._settled(host_id) for host_id in self.stories}
        first = min(firsts.values())
        return max(t for t in firsts.values() if t <= first + _LATE_LOOPS * policy.loop_s)

    def _settled(self, host_id: int) -> float:
        """Return when a host left the state in which a new agent begins."""
        story = self.stories[host_id]
        begin = self.time_of(host_id, story.runs[0].begin)
        end = story.runs[0].end
        for at, source, _ in story.edges[:1]:
            if source == State.UNKNOWN.value and at[0] == end[0] and at[1] <= end[1]:
                return self.time_of(host_id, at) + _BEFORE_S
        return begin

    def _end(self) -> float:
        return max(self.time_of(i, story.runs[-1].end) for i, story in self.stories.items())

    def _at(self, host_id: int, name: str, t: float, usual: Any) -> Any:
        """Return what was so on a host at a time."""
        facts = self.stories[host_id].facts.get(name, ())
        before = [fact for fact in facts if self.time_of(host_id, fact.at) <= t]
        first = [*before[-1:], *facts[:1]]
        return first[0].value if first else usual

    def _host(self, host_id: int, t: float, policy: Policy) -> Host:
        """Return a host that has kept its looks, as it was at a time."""
        story = self.stories[host_id]
        assert story.last is not None  # noqa: S101 - a story of no look is not told
        readings: dict[str, Any] = {
            name: self._fitting(name, value)
            for name, value in self._at(host_id, "readings", t, {}).items()
        }
        failed = self._at(host_id, "failed", t, 0)
        is_late = self._settled(host_id) > t
        return Host(
            id=host_id,
            hostname=story.last.session.identity.hostname,
            maintenance=bool(self._at(host_id, "maintenance", t, False)),
            agent_running=not is_late,
            failed_starts=FailedStarts(count=failed, last_s=0.0) if failed else FailedStarts(),
            watchdog_time_s=_own_watchdog(story, policy),
            **readings,
        )

    def _fitting(self, name: str, value: float) -> float:
        """Return a reading in the range that the language has for it."""
        return max(0.0, value) if name == "mem_free" else min(1.0, max(0.0, value))

    def _note(self, t: float, host_id: int, entry: Mapping[str, Any]) -> None:
        self.entries.append((t, str(host_id), entry))

    def _happenings(self, host_id: int, begins_at: float, ends_at: float, policy: Policy) -> None:
        story = self.stories[host_id]
        for fact in story.facts.get("readings", ())[1:]:
            t = self.time_of(host_id, fact.at)
            self._note(t - _BEFORE_S, host_id, {"set": self._changed_readings(host_id, fact)})
        for name, (sets, ends) in _FLAGS.items():
            for fact in story.facts.get(name, ())[1:]:
                t = self.time_of(host_id, fact.at) - _BEFORE_S
                self._note(t, host_id, sets if fact.value else ends)
        for name, (sets, _) in _FLAGS.items():
            if name != "maintenance" and self._at(host_id, name, begins_at, False):
                self._note(begins_at, host_id, sets)
        for fact in story.facts.get("leaves", ())[1:]:
            if not fact.value and any(run.begin < fact.at <= run.end for run in story.runs):
                t = self.time_of(host_id, fact.at) - _BEFORE_S
                self._note(t, host_id, {"power": "stay"})
        for deed in story.deeds:
            t = self.time_of(host_id, deed.at) - _BEFORE_S
            if deed.used_at is not None and self.time_of(host_id, deed.used_at) >= begins_at:
                t = max(begins_at, t + 2 * _BEFORE_S)
            host = "" if "engine" in deed.entry else str(host_id)
            self.entries.append((t, host, deed.entry))
        self._agents(host_id, ends_at, policy)

    def _changed_readings(self, host_id: int, fact: Fact) -> dict[str, float]:
        facts = self.stories[host_id].facts["readings"]
        before = facts[facts.index(fact) - 1].value
        return {
            name: self._fitting(name, value)
            for name, value in fact.value.items()
            if value != before.get(name)
        }

    def _agents(self, host_id: int, ends_at: float, policy: Policy) -> None:
        """Note when agents ended and began, and whether their hosts did."""
        runs = self.stories[host_id].runs
        for run, after in zip(runs, runs[1:]):
            end, begin = self.time_of(host_id, run.end), self.time_of(host_id, after.begin)
            leaves_at = self._leaves_at(host_id, run)
            if leaves_at is not None and run.begin[0] != after.begin[0]:
                self._note(leaves_at, host_id, {"power": "reboot"})
            elif run.begin[0] == after.begin[0]:
                self._note(end + _BEFORE_S, host_id, {"agent": "kill"})
                self._note(begin - _BEFORE_S, host_id, {"agent": "start"})
            else:
                self._note(end + _BEFORE_S, host_id, {"power": "off"})
                on = max(end + 2 * _BEFORE_S, begin - World().reboot_s)
                self._note(on, host_id, {"power": "on"})
        first = self.time_of(host_id, runs[0].begin)
        self._note(first - _BEFORE_S, host_id, {"agent": "start"})
        last, leaves_at = self.time_of(host_id, runs[-1].end), self._leaves_at(host_id, runs[-1])
        if leaves_at is not None:
            self._note(leaves_at, host_id, {"power": "shutdown"})
        elif ends_at - last > _SILENT_LOOPS * policy.loop_s:
            self._note(last + _BEFORE_S, host_id, self._ending(host_id))

    def _leaves_at(self, host_id: int, run: Run) -> Optional[float]:
        """Return since when a host was being shut down in order when a run ended; None: never."""
        facts = self.stories[host_id].facts.get("leaves", ())
        begin, end = self.time_of(host_id, run.begin), self.time_of(host_id, run.end)
        within = [fact for fact in facts if begin <= self.time_of(host_id, fact.at) <= end]
        if not within or not within[-1].value:
            return None
        return self.time_of(host_id, within[-1].at) - _BEFORE_S

    def _ending(self, host_id: int) -> Mapping[str, Any]:
        """Return what ended a host's looks, as far as the others could tell."""
        values = [
            story.others[host_id][-1].value
            for story in self.stories.values()
            if host_id in story.others
        ]
        if any(value["stopped"] for value in values):
            return {"agent": "stop"}
        if any(value["dead"] for value in values):
            return {"power": "off"}
        self.notes.append(f"host {host_id} fell silent: taken as an agent that was killed")
        return {"agent": "kill"}

    def _engine(self, t: float) -> Engine:
        """Return where the engine was at a time, and what it did."""
        for host_id, story in self.stories.items():
            word = self._at(host_id, "vm", t, "")
            if not word or self._settled(host_id) > t:
                continue
            last = story.last
            memory = 4096.0 if last is None else last.session.identity.memory_needed_mib
            doing = word if word in ("starting", "stopping") else "running"
            return Engine(
                running_on=str(host_id),
                memory=memory,
                health="bad" if word == "bad" else "good",
                paused=word == "paused",
                doing=doing,
            )
        for host_id, story in self.stories.items():
            for other, facts in story.others.items():
                before = [fact for fact in facts if self.time_of(host_id, fact.at) <= t]
                if other not in self.stories and before and before[-1].value["vm"]:
                    return Engine(running_on=str(other))
        return Engine(running_on=None, kept_by=self._kept_by(t))

    def _kept_by(self, t: float) -> Optional[str]:
        """Return the host that had shut the engine down with itself, and kept it."""
        for host_id in self.stories:
            if self._at(host_id, "keeps", t, usual=False):
                return str(host_id)
        for host_id, story in self.stories.items():
            for other, facts in story.others.items():
                before = [fact for fact in facts if self.time_of(host_id, fact.at) <= t]
                if other not in self.stories and before and before[-1].value["keeps"]:
                    return str(other)
        return None

    def _global(self, begins_at: float) -> bool:
        """Return the cluster's flag at the beginning, and note its changes."""
        found = [
            (self.time_of(host_id, fact.at), fact.value)
            for host_id, story in self.stories.items()
            for fact in story.facts.get("global", ())
        ]
        changes = sorted(found, key=lambda each: each[0])
        before = [value for t, value in changes if t <= begins_at]
        is_on, until = now = before[-1] if before else (False, None)
        if is_on and until is not None:
            self.entries.append((begins_at, "", _global_entry(begins_at, until)))
        for t, value in changes:
            if t <= begins_at or value == now:
                continue
            was_on, ends_at = now
            is_set, until = now = value
            at = t - _BEFORE_S
            if is_set:
                self.entries.append((at, "", _global_entry(at, until)))
            elif was_on and not (ends_at is not None and t >= ends_at):
                # Else it ended by itself, as it does in the simulator.
                self.entries.append((at, "", {"maintenance": "none"}))
        return bool(is_on)

    def _world(self, policy: Policy) -> World:
        took: dict[str, list[float]] = {}
        for story in self.stories.values():
            for name, times in story.took.items():
                took.setdefault(name, []).extend(times)
        measured: dict[str, Any] = {
            f"{name}_s": round(statistics.median(times), _PLACES) for name, times in took.items()
        }
        usual = World()
        return attrs.evolve(
            usual,
            loop_s=policy.loop_s,
            jitter_s=min(usual.jitter_s, policy.loop_s / 10),
            io_timeout_s=policy.io_timeout_s,
            **measured,
        )

    def _timeline(self, begins_at: float, until: float) -> Iterator[TimelineEntry]:
        for t, host, entry in sorted(self.entries, key=lambda each: each[0]):
            at = round(t - begins_at, _PLACES)
            ((verb, value),) = (each for each in entry.items() if each[0] != "for")
            if not value or not 0 <= at <= until:
                continue
            yield TimelineEntry(
                at=at,
                hosts=(host,) if host else (),
                verb=Verb(verb),
                value=_value(verb, value),
                for_s=entry.get("for"),
            )

    def _edges(self, host_id: int, begins_at: float) -> list[tuple[str, str]]:
        return [
            (source, to)
            for at, source, to in self.stories[host_id].edges
            if self.time_of(host_id, at) >= begins_at
        ]


def _value(verb: str, value: Any) -> Any:
    """Return an entry's value as the model has it: words that may have an argument are pairs."""
    if Verb(verb) not in _PHRASES:
        return value
    word, _, argument = str(value).partition(" ")
    if not argument:
        return word, None
    return word, argument if word == "migrate" else int(argument)


def _global_entry(t: float, until: Optional[int]) -> dict[str, Any]:
    """Return the entry that sets global maintenance at a time (seconds since 1970)."""
    if until is None:
        return {"maintenance": "global"}
    return {"maintenance": "global", "for": round(max(_BEFORE_S, until - t), _PLACES)}


def _own_watchdog(story: HostStory, policy: Policy) -> Optional[float]:
    """Return the time of a host's own watchdog, where it is another than the policy's."""
    last = story.last
    leases = None if last is None else last.look.seen.facts.leases
    if leases is None or leases.watchdog_s in (None, policy.watchdog_s):
        return None
    return leases.watchdog_s


def told_by(stories: Mapping[int, HostStory], time_of: TimeOf) -> Told:
    """
    Make a scenario of what several hosts have kept.

    Args:
        stories: what each host's looks say, by host id; each has at least one look.
        time_of: returns the common time of a moment of a host.
    """
    return _Teller(stories, time_of).tell()
