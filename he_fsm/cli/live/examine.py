"""What `he-fsm doctor` looks at, from the machine up to what the cluster would survive."""

from __future__ import annotations

import enum
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Optional

import attrs

from he_fsm.document.nodes import refused_as
from he_fsm.errors import ConfigError, HeFsmError, StorageError
from he_fsm.live.losses import Question, losses
from he_fsm.live.seen import Seen
from he_fsm.live.verdict import DEGRADED, GOOD, is_stale, verdict_of
from he_fsm.live.what_if import predict
from he_fsm.policy import Policy
from he_fsm.runtime import machine
from he_fsm.runtime.config import Config
from he_fsm.runtime.config.ovirt.notes import ovirt_notes
from he_fsm.runtime.deep import deep_findings, named_once
from he_fsm.runtime.doctor.clocks import clock_findings
from he_fsm.runtime.doctor.firewall import firewall_findings
from he_fsm.runtime.doctor.units import unit_findings
from he_fsm.runtime.notify.make import make_channels
from he_fsm.runtime.notify.notifier import probed
from he_fsm.runtime.parts import findings, ports_used
from he_fsm.runtime.ports import Finding
from he_fsm.words import span_text

# Enough for a loss that is survived by chance alone to be found out in most cases.
_SEEDS: Final = 5
# How long the storage is measured where nobody says (seconds).
_MEASURE_S: Final = 0.2
# Each step of a mail server's greeting (seconds).
_ANSWERS_WITHIN_S: Final = 2.0
_LOG: Final = "its log says why"


class Level(enum.Enum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    # A failover would not succeed, or the engine could not be started.
    FATAL = "wrong"


@attrs.frozen
class Check:
    """One thing that was looked at; `text` is one sentence, `mend` what to do about it."""

    name: str
    level: Level
    text: str
    mend: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the check as a plain object."""
        return {**attrs.asdict(self), "level": self.level.value}


def of_machine(path: Path, config: Config, measure_s: Optional[float]) -> Iterator[Check]:
    """Look at what needs no daemon: clock, storage, and what the configuration only names."""
    yield Check(
        "configuration",
        Level.OK,
        f"{path}: host {config.host.id}, policy {config.policy.name}, {config.hypervisor.kind}",
    )
    yield from _clock()
    yield from _storage(config, measure_s)
    yield _memory(config)
    yield from map(_unit, unit_findings(config, path))
    yield from map(_firewall, firewall_findings(ports_used(config)))
    with refused_as(ConfigError):
        notes = ovirt_notes(config.ovirt)
    found = named_once((*notes, *findings(config)), deep_findings(config))
    yield from map(_named, found)
    if not found:
        yield Check("this host", Level.OK, "paths, interfaces, names and other hosts are as named")
    yield from _people(config)


def _named(finding: Finding) -> Check:
    level = Level.FATAL if finding.is_fatal else Level.WARNING
    return Check("this host", level, finding.what, finding.mend)


def _unit(finding: Finding) -> Check:
    return Check("units", Level.WARNING, finding.what, finding.mend)


def _firewall(finding: Finding) -> Check:
    return Check("firewall", Level.WARNING, finding.what, finding.mend)


def _people(config: Config) -> Iterator[Check]:
    channels = make_channels(config)
    if not channels:
        text = "nobody is told of alarms: neither notify.smtp nor notify.hook is set"
        yield Check("people", Level.OK, text)
    for name, fault in probed(channels, _ANSWERS_WITHIN_S).items():
        if fault is None:
            yield Check("people", Level.OK, f"{name}: it would take a message")
        else:
            yield Check("people", Level.WARNING, f"{name}: {fault}", "he-fsm notify test")


def _clock() -> Iterator[Check]:
    problems = list(machine.clock_problems())
    for problem in problems:
        yield Check("clock", Level.WARNING, problem, "enable chrony or systemd-timesyncd")
    if not problems:
        yield Check(
            "clock", Level.OK, f"{machine.clock_source()}, and the wall clock is kept right"
        )


def _storage(config: Config, measure_s: Optional[float]) -> Iterator[Check]:
    try:
        found = machine.measure(config, _MEASURE_S if measure_s is None else measure_s)
    except StorageError as error:
        yield Check("storage", Level.FATAL, str(error))
        return
    text = f"{len(found.times_s)} reads: {_ms(found.median_s)} (median)"
    if measure_s is not None:
        text += f", {_ms(found.p99_s)} (99 of 100)"
    text += f", {_ms(found.worst_s)} at most"
    if measure_s is not None:
        text += f"; an io_timeout of {found.io_timeout_s} s or more has room for that"
    if found.is_slow_for(config.policy):
        yield Check(
            "storage",
            Level.WARNING,
            f"{text}: too slow for an io_timeout of {config.policy.io_timeout_s:g} s",
            f"he-fsm timing --set world.io_timeout={found.io_timeout_s}s",
        )
    elif not found.is_direct:
        text += "; its file system refuses O_DIRECT, so they may come from a cache"
        yield Check("storage", Level.WARNING, text)
    else:
        yield Check("storage", Level.OK, text)


def _memory(config: Config) -> Check:
    """Say whether this host keeps the memory free that the VM needs, here or where it runs."""
    needed, kind = config.engine.memory, "huge pages" if machine.wants_huge(config) else "memory"
    try:
        free = machine.free_memory(config)
    except HeFsmError as error:
        return Check("memory", Level.WARNING, f"not known: {error}")
    text = f"{free:.0f} MiB of {kind} free for the VM, which needs {needed:.0f}"
    if free >= needed:
        return Check("memory", Level.OK, text)
    weight = config.policy.memory_weight
    mend = (
        f"vm.nr_hugepages, in /etc/sysctl.d, for {needed:.0f} MiB"
        if machine.wants_huge(config)
        else "end what takes it, or add memory"
    )
    return Check("memory", Level.WARNING, f"{text}: its score is lower by up to {weight:g}", mend)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"


def of_daemons(seen: Seen, policy: Policy) -> Iterator[Check]:
    """Look at what broker and agent say of themselves, of the leases and of the engine."""
    status = seen.status
    yield _agent(status["agent"])
    yield _host_id(status["lease"], status["host_id"])
    verdict = verdict_of(status)
    level = {GOOD: Level.OK, DEGRADED: Level.WARNING}.get(verdict.level, Level.FATAL)
    yield Check("engine", level, verdict.line, "" if level is Level.OK else "he-fsm status")
    alive = status["agent"].get("alive", ())
    records = seen.board.records.values()
    others = (record for record in records if record.host_id != status["host_id"])
    for found in clock_findings(others, alive, time.time(), policy):
        yield Check("clock", Level.WARNING, found.what, found.mend)
    for number, plain in status["hosts"].items():
        if "problem" in plain:
            text = f"slot {number} can't be believed: {plain['detail']}"
            yield Check("whiteboard", Level.WARNING, text, f"he-fsm storage clear-slot {number}")
    for alarm in status["agent"].get("alarms", ()):
        yield Check("alarm", Level.WARNING, f"{alarm['name']}: {alarm['text']}")


def _agent(agent: Any) -> Check:
    if "state" not in agent or agent["age_s"] is None:
        text = "the agent has not reported since the broker began"
        return Check("agent", Level.FATAL, text, "systemctl enable --now he-fsm-agent")
    said = f"{agent['state']}, {span_text(agent['age_s'])} ago"
    if is_stale(agent):
        return Check("agent", Level.FATAL, f"it reports no more: {said}", _LOG)
    if not agent.get("published", True):
        return Check("agent", Level.FATAL, f"{said}: its record can't be written", _LOG)
    return Check("agent", Level.OK, said)


def _host_id(lease: Any, host_id: int) -> Check:
    if lease is None:
        return Check("host id", Level.FATAL, "the lease manager does not answer", _LOG)
    if lease["held_by_other"]:
        text = f"another host holds the host id {host_id}"
        return Check("host id", Level.FATAL, text, "give each host an id of its own (host.id)")
    if not lease["joined"]:
        text = f"this host does not hold its host id {host_id}"
        return Check(
            "host id", Level.FATAL, text, "wait up to 3 minutes after a start; then its log"
        )
    if lease["doom"]:
        return Check("host id", Level.FATAL, lease["doom"])
    age_s = lease["renewal_age_s"]
    renewed = "" if age_s is None else f", renewed {span_text(age_s)} ago"
    return Check("host id", Level.OK, f"{host_id} is held{renewed}")


def of_losses(seen: Seen) -> Iterator[Check]:
    """Ask the simulator what the cluster would survive; nothing on it is touched."""
    for question in losses(seen.living):
        yield _of_loss(seen, question)


def _of_loss(seen: Seen, question: Question) -> Check:
    try:
        scenario = seen.scenario(question.faults)
        found = predict(question.text, scenario, _SEEDS)
    except HeFsmError as error:
        return Check("failover", Level.FATAL, f"{question.text}: not known: {error}")
    level = Level.OK if found.is_well else Level.FATAL
    mend = "" if found.is_well else "he-fsm why, and he-fsm what-if, say more"
    return Check("failover", level, f"if {question.text}, {found.answer()}", mend)


def worst(checks: Sequence[Check]) -> Level:
    """Return the worst level among checks."""
    found = {check.level for check in checks}
    return next((each for each in (Level.FATAL, Level.WARNING) if each in found), Level.OK)
