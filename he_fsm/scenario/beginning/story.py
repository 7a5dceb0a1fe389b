"""
What one host's kept looks say of the world around it: what it measured, and what befell it.

An agent's decisions are not part of this: they follow, where the same happens to it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Optional

import attrs

from he_fsm.history.align import clock_time
from he_fsm.history.book import Recorded
from he_fsm.history.look import Look
from he_fsm.snapshot import Health, LocalVm, Outcome, VmState
from he_fsm.states.names import State
from he_fsm.tick import believed_vm

_READINGS: Final = ("gateway", "bridge", "mem_free", "cpu_load", "mem_load")
# Of these a change matters at once, of the others when the score changes.
_FLAGS: Final = ("gateway", "bridge")
# The boot clock gains so much on the monotonic one by a suspend alone (seconds).
_SUSPENDED_S: Final = 1.0
_HERE: Final = frozenset((VmState.STARTING, VmState.UP, VmState.PAUSED, VmState.STOPPING))
_ENDS: Final = frozenset((State.ENGINE_STOPPING, State.ENGINE_MIGRATING_AWAY))

# A boot of a host, and a time of its clock.
Moment = tuple[str, float]


@attrs.frozen
class Fact:
    """What is so from a moment on."""

    at: Moment
    value: Any


@attrs.frozen
class Deed:
    """
    What befell the host at a moment: an entry of a timeline without its time and host.

    `used_at`: when something came of it, where that was later; what made an order fail may have
    been so at any time since the order before.
    """

    at: Moment
    entry: Mapping[str, Any]
    used_at: Optional[Moment] = None


@attrs.define
class Run:
    """From when to when an agent looked."""

    begin: Moment
    end: Moment


@attrs.define
class HostStory:
    """
    Collects what a host's looks say, one after the other.

    `facts`: by name, each change; `deeds`: what happened once; `runs`: when its agents ran.
    `others`: for each other host, its record's score and whether it had stopped, was alive or
    certainly dead, as seen from here. `took`: how long starts, boots and moves took (seconds).
    """

    facts: dict[str, list[Fact]] = attrs.field(factory=dict)
    deeds: list[Deed] = attrs.field(factory=list)
    runs: list[Run] = attrs.field(factory=list)
    edges: list[tuple[Moment, str, str]] = attrs.field(factory=list)
    others: dict[int, list[Fact]] = attrs.field(factory=dict)
    took: dict[str, list[float]] = attrs.field(factory=dict)
    _last: Optional[Recorded] = None
    # When each order was given last, and the time before that.
    _asked_at: dict[str, float] = attrs.field(factory=dict)
    _orders: dict[str, tuple[Moment, Moment]] = attrs.field(factory=dict)
    # Since when a migration is under way that somebody else began, to a host not known yet.
    _leaving: Optional[Moment] = None

    @property
    def last(self) -> Optional[Recorded]:
        """The last look."""
        return self._last

    def add(self, now: Recorded, *, is_new_agent: bool) -> None:
        """Take the next look."""
        last = self._last
        at = (now.session.boot, clock_time(now))
        if last is None or is_new_agent:
            self.runs.append(Run(at, at))
        self.runs[-1].end = at
        self._take_facts(at, now.look, is_new_agent=last is None or is_new_agent)
        self._take_others(at, now.look)
        if last is not None and not is_new_agent:
            self._take_sleep(last, now)
            self._take_vm(at, last, now)
        elif last is not None and last.session.boot == now.session.boot:
            self._take_away(at, last, now)
        self._take_times(at, now.look)
        if now.look.decided.edge is not None:
            seen, decided = now.look.seen, now.look.decided
            self.edges.append((at, seen.before.state.value, decided.memory.state.value))
        self._last = now

    def _set(self, name: str, at: Moment, value: Any) -> None:
        series = self.facts.setdefault(name, [])
        if not series or series[-1].value != value:
            series.append(Fact(at, value))

    def _take_facts(self, at: Moment, look: Look, *, is_new_agent: bool) -> None:
        seen, facts = look.seen, look.seen.facts
        self._take_readings(at, look)
        self._set("maintenance", at, facts.local_maintenance)
        self._set("hypervisor", at, facts.vm.state is VmState.UNKNOWN)
        self._set("leaves", at, facts.leaves_by is not None)
        self._set("failed", at, look.decided.memory.failed.count)
        self._set("vm", at, _vm_word(facts.vm, look))
        self._set("keeps", at, seen.before.keeps_engine)
        memory = look.decided.memory
        if memory.global_maintenance is not None:
            self._set("global", at, (memory.global_maintenance, memory.global_until))
        if is_new_agent or facts.leases is None or facts.leases.joined:
            is_away = seen.whiteboard is None and facts.leases is None
            if is_new_agent and seen.whiteboard is None:
                # It takes its host id first, and reads then.
                return
            self._set("broker", at, is_away)
            self._set("storage", at, seen.whiteboard is None and not is_away)
            self._set("sanlock", at, facts.leases is None and not is_away)

    def _take_readings(self, at: Moment, look: Look) -> None:
        readings = look.seen.facts.readings
        values = {
            name: value
            for name in _READINGS
            if (value := getattr(readings, name).value) is not None
        }
        series = self.facts.get("readings")
        if series and self._last is not None:
            before = series[-1].value
            is_flag = any(values.get(name) != before.get(name) for name in _FLAGS)
            if not is_flag and look.seen.score == self._last.look.seen.score:
                return
        self._set("readings", at, values)

    def _take_others(self, at: Moment, look: Look) -> None:
        decided, leases = look.decided, look.seen.facts.leases
        dead = frozenset() if leases is None else leases.dead_hosts
        for host_id, sighting in decided.memory.sightings.items():
            record = sighting.record
            if record is None:
                continue
            value = {
                "score": record.score,
                "stopped": record.stopped,
                "maintenance": record.local_maintenance,
                "vm": record.engine.vm == "up",
                "keeps": record.stopped and record.engine.keeps_engine,
                "hostname": record.hostname,
                "alive": host_id in decided.liveness.alive or host_id in decided.liveness.pending,
                "dead": host_id in dead,
            }
            series = self.others.setdefault(host_id, [])
            if not series or series[-1].value != value:
                series.append(Fact(at, value))

    def _take_sleep(self, last: Recorded, now: Recorded) -> None:
        """Note that the host was suspended."""
        before, after = last.look.seen.facts, now.look.seen.facts
        if before.boot_now is None or after.boot_now is None:
            return
        slept_s = (after.boot_now - after.now) - (before.boot_now - before.now)
        if slept_s > _SUSPENDED_S and last.session.boot == now.session.boot:
            boot = now.session.boot
            self.deeds.append(Deed((boot, after.boot_now - slept_s), {"power": "suspend"}))
            self.deeds.append(Deed((boot, after.boot_now), {"power": "resume"}))

    def _take_vm(self, at: Moment, last: Recorded, now: Recorded) -> None:
        """Note what befell the VM here that the agent did not order."""
        before, after = last.look.seen.facts.vm, now.look.seen.facts.vm
        state = now.look.seen.before.state
        between = self._between(last, at)
        outcomes = {result.outcome for result in now.look.seen.facts.results}
        is_ordered = state in _ENDS or Outcome.MIGRATION_DONE in outcomes
        if Outcome.START_FAILED in outcomes:
            self._before_order("StartVm", {"starts": "fail 1"})
        elif before.state in _HERE and after.state is VmState.ABSENT and not is_ordered:
            self.deeds.append(Deed(between, {"engine": "kill"}))
        if Outcome.MIGRATION_FAILED in outcomes:
            self._before_order("MigrateVm", {"migrations": "fail 1"})
        if after.state is VmState.LEAVING and before.state is VmState.UP:
            self._leaving = None if state is State.ENGINE_MIGRATING_AWAY else between
        self._take_leaving(now.look)
        if before.state is not VmState.PAUSED and after.state is VmState.PAUSED:
            self.deeds.append(Deed(between, {"engine": "pause"}))
        if before.state is VmState.PAUSED and after.state is VmState.UP:
            self.deeds.append(Deed(between, {"engine": "resume"}))
        words = (_page(last.look), _page(now.look))
        if words == ("good", "bad"):
            self.deeds.append(Deed(between, {"engine": "hang"}))
        elif words == ("bad", "good"):
            self.deeds.append(Deed(between, {"engine": "heal"}))
        if (
            now.look.decided.memory.state is State.ENGINE_STOPPING
            and state is State.ENGINE_STARTING
        ):
            self._before_order("StartVm", {"boots": "never"})
            self.deeds.append(Deed(at, {"boots": "ok"}))

    def _take_away(self, at: Moment, last: Recorded, now: Recorded) -> None:
        """Note that the VM ended while no agent looked."""
        before, after = last.look.seen.facts.vm, now.look.seen.facts.vm
        is_ordered = last.look.decided.memory.state in _ENDS
        if before.state in _HERE and after.state is VmState.ABSENT and not is_ordered:
            self.deeds.append(Deed(self._between(last, at), {"engine": "kill"}))

    def _between(self, last: Recorded, at: Moment) -> Moment:
        """Return the middle between two looks: something happened there."""
        if last.session.boot != at[0]:
            return at
        return at[0], (clock_time(last) + at[1]) / 2

    def _take_leaving(self, look: Look) -> None:
        """Note a migration that somebody else began, as soon as it is known where it goes."""
        if self._leaving is None:
            return
        board, host_id = look.seen.whiteboard, look.decided.placement.engine_on
        records = {} if board is None else board.records
        to = [
            each
            for each, record in records.items()
            if record.engine.detail == "Migration Destination"
        ]
        if look.seen.facts.vm.state is VmState.ABSENT and host_id is not None:
            to.append(host_id)
        if to:
            self.deeds.append(Deed(self._leaving, {"engine": f"migrate {to[0]}"}))
        if to or look.seen.facts.vm.state is VmState.UP:
            self._leaving = None

    def _before_order(self, order: str, entry: Mapping[str, Any]) -> None:
        """Note what has been so when the agent ordered something, and maybe before."""
        if order in self._orders:
            before, last = self._orders[order]
            self.deeds.append(Deed(before, entry, used_at=last))

    def _take_times(self, at: Moment, look: Look) -> None:
        """Measure how long what the agent orders takes, as well as looks show it."""
        vm, t = look.seen.facts.vm, at[1]
        last = None if self._last is None else self._last.look.seen.facts.vm.state
        asked = self._asked_at
        if last is VmState.STARTING and vm.state is VmState.UP:
            self._took("vm_start", "StartVm", t)
            asked["booting"] = t
        if vm.state is VmState.UP and vm.health is Health.GOOD:
            self._took("vm_boot", "booting", t)
        if any(each.outcome is Outcome.MIGRATION_DONE for each in look.seen.facts.results):
            self._took("migration", "MigrateVm", t)
        if last is VmState.STOPPING and vm.state is VmState.ABSENT:
            self._took("vm_shutdown", "ShutDownVm", t)
        for deed in look.decided.effects:
            order = str(deed["is"])
            asked[order] = t
            _, before = self._orders.get(order, (at, self.runs[0].begin))
            self._orders[order] = (before, at)

    def _took(self, what: str, order: str, t: float) -> None:
        asked_at = self._asked_at.pop(order, None)
        if asked_at is not None and t >= asked_at:
            self.took.setdefault(what, []).append(t - asked_at)


def _vm_word(vm: LocalVm, look: Look) -> str:
    """Return what the VM here does, in the words for an engine's beginning; empty: none."""
    if vm.state is VmState.UP:
        watch = look.decided.memory.vm
        if vm.health is Health.GOOD:
            return "good"
        return "starting" if watch is not None and not watch.was_good else "bad"
    words = {
        VmState.STARTING: "starting",
        VmState.PAUSED: "paused",
        VmState.STOPPING: "stopping",
        VmState.LEAVING: "good",
    }
    return words.get(vm.state, "")


def _page(look: Look) -> str:
    """Return how the health page is, once the VM here was good; empty: that is not known."""
    vm, watch = believed_vm(look.seen.facts), look.decided.memory.vm
    if vm.state is not VmState.UP or watch is None or not watch.was_good:
        return ""
    return {Health.GOOD: "good", Health.BAD: "bad"}.get(vm.health, "")
