"""The beginning of a scenario from a copy of a cluster's whiteboard."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Optional

import attrs

from he_fsm.metadata.record import HostRecord
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.policy import OVIRT, TALK, Policy
from he_fsm.scenario.beginning.deeds import deed_of
from he_fsm.scenario.beginning.ending import maintenance_ends
from he_fsm.scenario.beginning.likely import Rated
from he_fsm.scenario.beginning.sight import Sight
from he_fsm.score import NEVER, NEVER_SAID, PREFERENCE_MAX, Preference
from he_fsm.words import hosts_text, slots_text

# The readings' names in a slot's text for people, and in a scenario. Source: the talk's
# whiteboards; today's agents of oVirt write none.
_WRITTEN: Final = {
    "gateway": "gateway",
    "bridge": "bridge",
    "mem-free": "mem_free",
    "cpu-load": "cpu_load",
    "mem-load": "mem_load",
}
_FLAGS: Final = {"True": 1.0, "False": 0.0}
_NEEDED: Final = re.compile(r"(?:of the|free,) ([0-9.]+) MiB needed")
# A part of the score that a host writes down: host.preference.
_PREFERENCE: Final = re.compile(r"(?:^|, )([+-]?[0-9]{1,3}) preference \(host\.preference\)")
# A line that oVirt's agents and ours write, and one that only ours do.
_SINCE_OVIRT, _OURS = "vm_conf_refresh_time", "score-why"
# The lowest rank (`EngineStatus.rank`) of a VM that is up: it is paused.
_PAUSED = 2
# The VM runs until its host loses power at 0 s, so the lease can't expire before.
_LEFT_MIN_S: Final = 0.01
_NOTHING_KNOWN: Final = (
    "assumed (no --status): hosts with an intact record that have not stopped are alive;"
    ' the one whose record says "VM up" holds the lease'
)


@attrs.frozen(kw_only=True)
class Captured:
    """
    A cluster, reconstructed from a copy of its whiteboard.

    `keys`: the keys of a scenario that describe its beginning. `notes`: what was assumed, taken
    from a source other than the whiteboard, or left out; a sentence each.
    """

    keys: Mapping[str, Any]
    notes: tuple[str, ...]


def capture(board: Whiteboard, sight: Optional[Sight] = None) -> Captured:
    """
    Reconstruct a cluster from its whiteboard.

    Hosts get the readings that their records hold, or else the simplest ones that explain their
    scores.

    Args:
        sight: who was alive and who held the engine's lease; None: not known, and assumed.
    """
    return _Capture(board, sight).all()


@attrs.define
class _Capture:
    """Reconstructs a cluster from one whiteboard; collects the notes meanwhile."""

    board: Whiteboard
    sight: Optional[Sight]
    notes: list[str] = attrs.field(factory=list)
    timeline: list[dict[str, Any]] = attrs.field(factory=list)

    def all(self) -> Captured:
        records = self.board.records
        if self.sight is None:
            self.notes.append(_NOTHING_KNOWN)
        policy = _policy_of(records.values())
        if policy is not TALK:
            self.notes.append(f"the scores are read as those of policy {policy.name}")
        needed = _memory_needed(records.values())
        runs_on = self.runs_on()
        hosts = [self.host(record, policy, needed) for record in records.values()]
        hosts += self.unreadable(runs_on)
        engine: dict[str, Any] = {"running_on": runs_on, **self.kept(runs_on)}
        if runs_on is not None:
            engine.update(self.lease_of(runs_on))
        if needed is not None:
            engine["memory"] = needed
        deed = deed_of(runs_on, records, self.sight)
        engine.update(deed.engine)
        self.timeline += deed.timeline
        self.notes += deed.notes
        keys: dict[str, Any] = {"policy": policy.name, "hosts": hosts, "engine": engine}
        if self.is_in_maintenance():
            keys["maintenance"] = "global"
        self.timeline += maintenance_ends(self.board, self.sight, self.notes)
        if self.timeline:
            keys["timeline"] = self.timeline
        return Captured(keys=keys, notes=tuple(self.notes))

    def is_in_maintenance(self) -> bool:
        block = self.board.global_block
        if block.problem is not None and block.problem.word.value != "empty":
            self.notes.append(f"slot 0 is {block.problem.word.value}: taken as no maintenance")
        return bool(block.maintenance)

    def runs_on(self) -> Optional[int]:
        """Return the host that runs the engine VM: the lease's owner, if that is known."""
        sight = self.sight
        up = [record for record in self.board.records.values() if record.engine.rank >= _PAUSED]
        up.sort(key=lambda record: -record.engine.rank)
        if sight is not None and sight.knows_lease:
            found = None if sight.owner in sight.dead else sight.owner
            why = "it did not hold the lease"
        else:
            alive = [each.host_id for each in up if sight is None or sight.lives(each.host_id)]
            found = alive[0] if alive else None
            why = "it was silent" if found is None else f"host {found} says so as well"
        for record in up:
            number = record.host_id
            if number != found:
                self.notes.append(f"host {number} says that the VM is up: not taken so, {why}")
        return found

    def kept(self, runs_on: Optional[int]) -> dict[str, int]:
        """Return who has shut the engine down with itself, and keeps it."""
        for number, record in self.board.records.items():
            if runs_on is None and record.engine.keeps_engine and record.stopped:
                self.notes.append(
                    f"host {number} was shut down in order, and keeps the engine until it is back"
                    " (on_shutdown: freeze)"
                )
                return {"kept_by": number}
        return {}

    def lease_of(self, owner: int) -> dict[str, float]:
        """Power off an owner that failed to renew; return after how long its lease expires."""
        sight = self.sight
        if sight is None or not sight.is_failing_owner(owner):
            return {}
        self.timeline.append({"at": 0, "host": owner, "power": "off"})
        failed = (
            f"host {owner} did not renew the engine's lease: it loses power at 0 s, and the lease"
        )
        if sight.lease_left_s is None:
            self.notes.append(f"{failed} has all its time from then on")
            return {}
        self.notes.append(
            f"{failed} can be taken {sight.lease_left_s:g} s later, as the status says"
        )
        return {"lease_left": max(_LEFT_MIN_S, sight.lease_left_s)}

    def host(self, record: HostRecord, policy: Policy, needed: Optional[float]) -> dict[str, Any]:
        """Return one host in a scenario's form."""
        number = record.host_id
        host: dict[str, Any] = {"id": number}
        if record.hostname and record.hostname.isprintable():
            host["hostname"] = record.hostname
        if record.local_maintenance:
            host["maintenance"] = True
        if record.stopped and record.engine.keeps_engine:
            host["powered"] = False
        elif record.stopped:
            host["agent"] = "stopped"
        elif self.sight is not None and number in self.sight.dead:
            host["powered"] = False
            self.notes.append(f"host {number} is dead: it has no power")
        elif self.sight is not None and not self.sight.lives(number):
            host["agent"] = "stopped"
            self.notes.append(f"host {number} was silent: its agent does not run")
        return {**host, **self.readings(record, policy, needed)}

    def readings(
        self, record: HostRecord, policy: Policy, needed: Optional[float]
    ) -> dict[str, Any]:
        """Return the readings and failed starts that explain one host's score."""
        number, known = record.host_id, _known(record)
        if record.local_maintenance or record.stopped:
            # Such a host has score 0 whatever its monitors read.
            return known
        if record.engine.vm == "unknown":
            self.timeline.append({"at": 0, "host": number, "hypervisor": "lost"})
            self.notes.append(f"host {number} did not know of its VM: no hypervisor answers there")
            return known
        preference = _preference(record)
        if not record.score and preference == NEVER:
            return {**known, "preference": NEVER}
        if not record.score:
            self.notes.append(
                f"host {number} has score 0, {_why_nothing(record)}:"
                f" {policy.failed_starts_max} recent failed starts are assumed"
            )
            return {**known, "failed_starts": {"count": policy.failed_starts_max, "last": 0}}
        rated = Rated(
            score=record.score,
            policy=policy,
            known=known,
            vm_is_here=record.engine.vm == "up",
            preference=preference,
        )
        if needed is not None:
            rated = attrs.evolve(rated, memory_needed_mib=needed)
        likely = rated.likely()
        if likely is None:
            self.notes.append(f"host {number}: no readings give its score {record.score}")
            return known
        if likely.readings != known or likely.failed_starts:
            self.notes.append(f"host {number}: its score {record.score} is read as {likely.why}")
        found: dict[str, Any] = dict(likely.readings)
        if preference:
            found["preference"] = preference
        if likely.failed_starts:
            found["failed_starts"] = {"count": likely.failed_starts, "last": 0}
        return found

    def unreadable(self, runs_on: Optional[int]) -> list[dict[str, Any]]:
        """Return the living hosts without a valid record; note every slot without one."""
        hosts = []
        left_out: dict[str, list[int]] = {}
        for number, problem in self.board.problems.items():
            if self.sight is not None and self.sight.is_known_to_live(number):
                hosts.append({"id": number})
                text = f"slot {number} can't be believed ({problem.word.value}: {problem.detail})"
                self.notes.append(f"{text}: host {number} lives, and is taken as healthy")
            else:
                left_out.setdefault(problem.word.value, []).append(number)
        for word, numbers in left_out.items():
            example = f"{word}: {self.board.problems[numbers[0]].detail}"
            if len(numbers) > 1:
                example = f"{word}; slot {numbers[0]}: {self.board.problems[numbers[0]].detail}"
            self.notes.append(
                f"{slots_text(numbers)} can't be believed ({example}):"
                f" {hosts_text(numbers)} {'is' if len(numbers) == 1 else 'are'} left out"
            )
        if runs_on is not None and runs_on not in self.board.slots:
            hosts.append({"id": runs_on})
            self.notes.append(f"host {runs_on} holds the lease without a slot: taken as healthy")
        return hosts


def _policy_of(records: Iterable[HostRecord]) -> Policy:
    """Return the policy that is likely to have made these scores."""
    for record in records:
        keys = _lines(record)
        if record.score > TALK.score_max or (_SINCE_OVIRT in keys and _OURS not in keys):
            return OVIRT
    return TALK


def _lines(record: HostRecord) -> dict[str, str]:
    """Return the lines that a host wrote for people, by key."""
    parts = (line.partition("=") for line in record.text.split("\n"))
    return {key: value for key, _, value in parts}


def _known(record: HostRecord) -> dict[str, float]:
    """Return the readings in a host's lines for people."""
    lines = _lines(record)
    known = {}
    for key, name in _WRITTEN.items():
        text = lines.get(key, "")
        try:
            value = _FLAGS[text] if text in _FLAGS else float(text)
        except ValueError:
            continue
        is_share = name in ("gateway", "bridge")
        if math.isfinite(value) and 0 <= value <= (1 if is_share else math.inf):
            known[name] = min(value, 1.0) if name.endswith("_load") else value
    return known


def _memory_needed(records: Iterable[HostRecord]) -> Optional[float]:
    """Return the memory of the VM in MiB, if a host says that it has less free."""
    found = (_NEEDED.search(_lines(record).get(_OURS, "")) for record in records)
    return next((float(match[1]) for match in found if match is not None), None)


def _preference(record: HostRecord) -> Preference:
    """Return how much a host's configuration likes it, as its lines for people say."""
    text = _lines(record).get(_OURS, "")
    if not record.score:
        return NEVER if NEVER_SAID in text else 0
    found = _PREFERENCE.search(text)
    points = 0 if found is None else int(found[1])
    return points if abs(points) <= PREFERENCE_MAX else 0


def _why_nothing(record: HostRecord) -> str:
    """Return the reason that a host with score 0 wrote for people."""
    text = _lines(record).get(_OURS, "")
    # Older releases wrote the score itself in front.
    why = text.removeprefix("0: ")
    return f"because of: {why}" if why else "reason unknown"
