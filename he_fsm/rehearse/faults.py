"""What the verbs of a timeline do to a lab's real processes, and which ones they can't do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional

from he_fsm.metadata.codec import decode_slot
from he_fsm.metadata.record import EngineStatus, HostRecord
from he_fsm.rehearse import daemons
from he_fsm.rehearse.host import LabHost
from he_fsm.scenario.damage import Slot, damaged
from he_fsm.scenario.fault_words import fault_words
from he_fsm.scenario.model import Scenario, TimelineEntry, Verb

if TYPE_CHECKING:
    from he_fsm.rehearse.run import Rehearsal

_NOBODY = EngineStatus("down", "bad", "unknown", "vm not running on this host")


def cannot(scenario: Scenario, *, has_sanlock: bool = False) -> list[str]:
    """
    Say which entries of a scenario no back end of one machine can do, and why.

    Found before anything is started. *has_sanlock*: each host has a sanlock daemon of its own.
    """
    reasons = [
        f"{entry.place}: {entry.text}: {why}"
        for entry in scenario.timeline
        if (why := _why_not(entry, has_sanlock=has_sanlock))
    ]
    reasons.extend(
        f"host {host.name}: clock: this machine has one clock for all hosts"
        for host in scenario.hosts
        if host.wall_offset_s or host.wall_start_s is not None
    )
    if scenario.engine.lease_left_s is not None:
        reasons.append(
            "engine: lease_left: a real lease runs out from the moment of its last renewal"
        )
    names = [host.id for host in scenario.hosts]
    if len(set(names)) < len(names):
        reasons.append("hosts: two hosts with one id need two machines")
    return reasons


def _why_not(entry: TimelineEntry, *, has_sanlock: bool) -> str:
    if entry.verb is Verb.SANLOCK and not has_sanlock:
        return "embedded leases have no sanlock; --backend sanlock has"
    if entry.verb is Verb.CLOCK:
        return "this machine has one clock for all hosts"
    if entry.verb is Verb.STORAGE and entry.value[0] == "slow":
        return "this machine's storage can be cut or hang for one host, not be slow"
    if entry.verb is Verb.FAILED_STARTS:
        return "a running agent's count can't be set from outside"
    if entry.verb is Verb.SLOT and entry.value[0] == "torn" and entry.for_s is not None:
        return "what a torn write left can't be kept for a time"
    return ""


def apply(rehearsal: Rehearsal, entry: TimelineEntry) -> None:
    """Let one entry of the timeline act now."""
    if entry.verb is Verb.SLOT:
        for name in entry.hosts:
            _slot(rehearsal, entry, name)
    elif entry.verb is Verb.ENGINE:
        _engine(rehearsal, entry.value)
    elif entry.verb is Verb.MAINTENANCE and not entry.hosts:
        rehearsal.note(None, fault_words(entry.verb, entry.value))
        rehearsal.lab.write_global(maintenance=entry.value == "global")
    else:
        act = _ON_HOST[entry.verb]
        for name in entry.hosts:
            host = rehearsal.lab.hosts[name]
            rehearsal.note(host, fault_words(entry.verb, entry.value))
            act(rehearsal, host, entry.value)


def _set(rehearsal: Rehearsal, host: LabHost, values: dict[str, float]) -> None:
    for text in host.write_monitors(**values):
        rehearsal.observer.note(rehearsal.now(), host.name, "network", text)


def _power(rehearsal: Rehearsal, host: LabHost, word: str) -> None:
    if word == "freeze":
        rehearsal.freeze(host)
    elif word == "thaw":
        rehearsal.thaw(host)
    else:
        if word in ("off", "reset"):
            host.power_off()
        if word in ("on", "reset") and not host.is_powered:
            rehearsal.boot(host)


def _agent(_: Rehearsal, host: LabHost, word: str) -> None:
    process = host.agent_process
    if word == "start":
        if host.is_powered and (process is None or process.poll() is not None):
            host.start_agent()
    elif process is None:
        return
    elif word == "kill":
        host.kill_agent()
    elif word == "stop":
        host.stop_agent()
    elif word == "freeze":
        host.freeze("agent")
    else:
        host.thaw("agent")


def _storage(_: Rehearsal, host: LabHost, value: tuple[str, Optional[float]]) -> None:
    host.lead_storage(value[0])


def _hypervisor(_: Rehearsal, host: LabHost, word: str) -> None:
    host.set_faults(hypervisor="lost" if word == "lost" else "ok")


def _trial(value: tuple[str, Optional[int]]) -> str:
    word, count = value
    return word if count is None else f"{word} {count}"


def _starts(_: Rehearsal, host: LabHost, value: tuple[str, Optional[int]]) -> None:
    host.set_faults(starts=_trial(value))


def _migrations(_: Rehearsal, host: LabHost, value: tuple[str, Optional[int]]) -> None:
    host.set_faults(migrations=_trial(value))


def _boots(rehearsal: Rehearsal, host: LabHost, value: tuple[str, Optional[float]]) -> None:
    word, seconds = value
    if seconds is not None:
        word = f"{word} {seconds / rehearsal.lab.speed:g}"
    host.set_faults(boots=word)


def _version(_: Rehearsal, host: LabHost, version: int) -> None:
    host.version = version
    host.write_config()
    host.kill_agent()
    if host.is_powered:
        # The broker reads up to its own version: it is the new release's as well.
        if host.broker_process is not None:
            # One that stands still hears it when it goes on.
            host.broker_process.terminate()
            host.thaw("broker")
            host.broker_process.wait()
            host.start_broker()
        host.start_agent()


def _maintenance(rehearsal: Rehearsal, host: LabHost, word: str) -> None:
    rehearsal.set_local(host, is_set=word == "on")


_ON_HOST: dict[Verb, Callable[[Any, LabHost, Any], None]] = {
    Verb.SET: _set,
    Verb.POWER: _power,
    Verb.AGENT: _agent,
    Verb.BROKER: daemons.broker,
    Verb.SANLOCK: daemons.sanlock,
    Verb.STORAGE: _storage,
    Verb.HYPERVISOR: _hypervisor,
    Verb.STARTS: _starts,
    Verb.BOOTS: _boots,
    Verb.MIGRATIONS: _migrations,
    Verb.VERSION: _version,
    Verb.MAINTENANCE: _maintenance,
}


def _engine(rehearsal: Rehearsal, value: tuple[str, Any]) -> None:
    word, target = value
    host = _main_host(rehearsal)
    rehearsal.note(host, fault_words(Verb.ENGINE, value))
    if host is None:
        return
    if word == "migrate":
        host.migrate_engine(rehearsal.lab.hosts[target].config.id)
    elif word == "kill":
        host.kill_vm()
    else:
        host.order_engine(word)


def _main_host(rehearsal: Rehearsal) -> Optional[LabHost]:
    for host in rehearsal.lab.hosts.values():
        record = host.vm()
        if record is not None and record.phase.value != "arriving":
            return host
    return None


def _slot(rehearsal: Rehearsal, entry: TimelineEntry, name: str) -> None:
    word, argument = entry.value
    host = None if name == "0" else rehearsal.lab.hosts[name]
    slot = 0 if host is None else host.config.id
    rehearsal.note(host, fault_words(entry.verb, entry.value, slot))
    kept = rehearsal.observer.blocks.get(slot, [])
    latest = kept[-1] if kept else b""
    if word == "snapshot":
        rehearsal.copies[slot] = latest
        return
    if word == "torn":
        rehearsal.tear_next(slot, argument)
        return
    found = Slot(
        number=slot,
        latest=latest,
        record=_record(slot, latest) if slot else None,
        oldest=kept[0] if kept else b"",
        copy=rehearsal.copies.get(slot, b""),
        newest=max(each.version for each in rehearsal.lab.hosts.values()),
    )
    block = damaged(found, word, argument, rehearsal.scenario.seed)
    if entry.for_s is None:
        rehearsal.lab.write_block(slot, block)
    else:
        rehearsal.lab.mask(slot, block, entry.for_s / rehearsal.lab.speed)


def _record(slot: int, block: bytes) -> HostRecord:
    content = decode_slot(slot, block, version=999)
    if isinstance(content, HostRecord):
        return content
    return HostRecord(host_id=slot, timestamp=1, score=0, engine=_NOBODY, hostname=f"host{slot}")
