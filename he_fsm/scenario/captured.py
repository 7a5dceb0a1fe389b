"""Where scenarios begin: a cluster as a copy of its whiteboard shows it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Optional

import attrs

from he_fsm.metadata.record import HostRecord
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.policy import OVIRT, TALK, Policy
from he_fsm.scenario.likely import Rated
from he_fsm.scenario.sight import Sight

# Readings as agents write them for people, and as a scenario names them. Source: the talk's
# whiteboards; oVirt's agents of today write none.
_WRITTEN: Final = {
    "gateway": "gateway",
    "bridge": "bridge",
    "mem-free": "mem_free",
    "cpu-load": "cpu_load",
    "mem-load": "mem_load",
}
_FLAGS: Final = {"True": 1.0, "False": 0.0}
_NEEDED: Final = re.compile(r"of the ([0-9.]+) MiB needed")
# What only oVirt's agents and ours write; and what only ours do.
_SINCE_OVIRT, _OURS = "vm_conf_refresh_time", "score-why"
# The VM is up on its host from this rank of a record's engine status on; at the next it is healthy.
_PAUSED, _SICK = 2, 3
# At 0 s the VM is there until its host's power is gone; so its lease is not free before.
_LEFT_MIN_S: Final = 0.01
_NOTHING_KNOWN: Final = (
    "nothing but the whiteboard is known: every host with a whole record that is not stopped is"
    " taken as alive, and whose record says that the VM is up as the holder of the engine's lease"
)


@attrs.frozen(kw_only=True)
class Captured:
    """
    A cluster as a copy of its whiteboard shows it.

    `keys`: those of a scenario that say where it begins. `notes`: what was assumed, taken from
    other than the whiteboard, or left out; a sentence each.
    """

    keys: Mapping[str, Any]
    notes: tuple[str, ...]


def capture(board: Whiteboard, sight: Optional[Sight] = None) -> Captured:
    """
    Take over what a whiteboard says.

    Hosts get the readings that their records give, else the simplest ones that give their scores.

    Args:
        sight: who was alive and who held the engine's lease; None: not known, and assumed.
    """
    return _Capture(board, sight).all()


@attrs.define
class _Capture:
    """One whiteboard on its way to a scenario."""

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
        engine: dict[str, Any] = {"running_on": runs_on}
        if runs_on is not None:
            engine.update(self.lease_of(runs_on))
        if needed is not None:
            engine["memory"] = needed
        engine.update(_condition(records.get(runs_on) if runs_on is not None else None))
        keys: dict[str, Any] = {"policy": policy.name, "hosts": hosts, "engine": engine}
        if self.is_in_maintenance():
            keys["maintenance"] = "global"
        if self.timeline:
            keys["timeline"] = self.timeline
        return Captured(keys=keys, notes=tuple(self.notes))

    def is_in_maintenance(self) -> bool:
        block = self.board.global_block
        if block.problem is not None and block.problem.word.value != "empty":
            self.notes.append(f"slot 0 is {block.problem.word.value}: taken as no maintenance")
        return bool(block.maintenance)

    def runs_on(self) -> Optional[int]:
        """Give the host that has the engine VM, by the lease where that is known."""
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

    def lease_of(self, owner: int) -> dict[str, float]:
        """Let an owner that failed lose its power; give how long its lease still lasts."""
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
        """Give one host as a scenario has it."""
        number = record.host_id
        host: dict[str, Any] = {"id": number}
        if record.hostname and record.hostname.isprintable():
            host["hostname"] = record.hostname
        if record.local_maintenance:
            host["maintenance"] = True
        if record.stopped:
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
        """Give what makes the score of one host what it is."""
        number, known = record.host_id, _known(record)
        if record.local_maintenance or record.stopped:
            # They say score 0 whatever the monitors read.
            return known
        if record.engine.vm == "unknown":
            self.timeline.append({"at": 0, "host": number, "hypervisor": "lost"})
            self.notes.append(f"host {number} did not know of its VM: no hypervisor answers there")
            return known
        if not record.score:
            self.notes.append(
                f"host {number} has score 0: taken as {policy.failed_starts_max} failed starts,"
                " the last of them just now"
            )
            return {**known, "failed_starts": {"count": policy.failed_starts_max, "last": 0}}
        rated = Rated(
            score=record.score,
            policy=policy,
            known=known,
            vm_is_here=record.engine.vm == "up",
            **({} if needed is None else {"memory_needed_mib": needed}),
        )
        likely = rated.likely()
        if likely is None:
            self.notes.append(f"host {number}: no readings give its score {record.score}")
            return known
        if likely.readings != known or likely.failed_starts:
            self.notes.append(f"host {number}: its score {record.score} is read as {likely.why}")
        found: dict[str, Any] = dict(likely.readings)
        if likely.failed_starts:
            found["failed_starts"] = {"count": likely.failed_starts, "last": 0}
        return found

    def unreadable(self, runs_on: Optional[int]) -> list[dict[str, Any]]:
        """Give the hosts that live without a record that can be believed; name all such slots."""
        hosts = []
        for number, problem in self.board.problems.items():
            text = f"slot {number} can't be believed ({problem.word.value}: {problem.detail})"
            if self.sight is not None and self.sight.is_known_to_live(number):
                hosts.append({"id": number})
                self.notes.append(f"{text}: host {number} lives, and is taken as healthy")
            else:
                self.notes.append(f"{text}: host {number} is left out")
        if runs_on is not None and runs_on not in self.board.slots:
            hosts.append({"id": runs_on})
            self.notes.append(f"host {runs_on} holds the lease without a slot: taken as healthy")
        return hosts


def _policy_of(records: Iterable[HostRecord]) -> Policy:
    """Give the policy that made these scores, as far as they show it."""
    for record in records:
        keys = _lines(record)
        if record.score > TALK.score_max or (_SINCE_OVIRT in keys and _OURS not in keys):
            return OVIRT
    return TALK


def _lines(record: HostRecord) -> dict[str, str]:
    """Give what a host wrote for people, by key."""
    parts = (line.partition("=") for line in record.text.split("\n"))
    return {key: value for key, _, value in parts}


def _known(record: HostRecord) -> dict[str, float]:
    """Give the readings that a host wrote down."""
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
            known[name] = value
    return known


def _memory_needed(records: Iterable[HostRecord]) -> Optional[float]:
    """Give the memory of the VM, where a host says that it has less, in MiB."""
    found = (_NEEDED.search(_lines(record).get(_OURS, "")) for record in records)
    return next((float(match[1]) for match in found if match is not None), None)


def _condition(record: Optional[HostRecord]) -> dict[str, Any]:
    """Give how the engine VM does on the host that has it."""
    if record is None or record.engine.rank > _SICK:
        return {}
    return {"paused": True} if record.engine.rank == _PAUSED else {"health": "bad"}
