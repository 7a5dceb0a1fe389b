"""What the verbs of a timeline do to a lab's real processes."""

from __future__ import annotations

import math
import time
from typing import Any, Callable, Optional

from he_fsm.lab.host import LabHost
from he_fsm.metadata.codec import decode_slot
from he_fsm.metadata.record import EngineStatus, HostRecord
from he_fsm.rehearse import daemons
from he_fsm.rehearse.lab_spec import IN_ORDER
from he_fsm.rehearse.stage import AGENT, Stage
from he_fsm.scenario.damage import Slot, damaged
from he_fsm.scenario.fault_words import fault_words
from he_fsm.scenario.model import TimelineEntry, Verb

_NOBODY = EngineStatus("down", "bad", "unknown", "vm not running on this host")


def apply(stage: Stage, entry: TimelineEntry) -> None:
    """Apply one entry of the timeline now."""
    if entry.verb is Verb.SLOT:
        for name in entry.hosts:
            _slot(stage, entry, name)
    elif entry.verb is Verb.ENGINE:
        _engine(stage, entry.value)
    elif entry.verb is Verb.MAINTENANCE and not entry.hosts:
        stage.note(None, fault_words(entry.verb, entry.value))
        stage.lab.write_global(maintenance=entry.value == "global", until=_until(stage, entry))
    elif entry.verb is Verb.MAINTENANCE:
        for name in entry.hosts:
            host = stage.lab.hosts[name]
            stage.note(host, fault_words(entry.verb, entry.value))
            stage.set_local(host, is_set=entry.value == "on", until=_until(stage, entry))
    else:
        act = _ON_HOST[entry.verb]
        for name in entry.hosts:
            host = stage.lab.hosts[name]
            stage.note(host, fault_words(entry.verb, entry.value))
            act(stage, host, entry.value)


def _set(stage: Stage, host: LabHost, values: dict[str, float]) -> None:
    for text in host.write_monitors(**values):
        stage.observer.note(stage.now(), host.name, "network", text)


def _power(stage: Stage, host: LabHost, word: str) -> None:
    if word == "freeze":
        stage.freeze(host)
    elif word == "thaw":
        stage.thaw(host)
    elif word in IN_ORDER:
        stage.shutdowns.order(host, word)
    else:
        if word in ("off", "reset"):
            host.power_off()
        if word == "on" and stage.shutdowns.boots_again(host):
            return
        if word in ("on", "reset") and not host.is_powered:
            stage.boot(host)


def _storage(_: Stage, host: LabHost, value: tuple[str, Optional[float]]) -> None:
    host.lead_storage(value[0])


def _hypervisor(_: Stage, host: LabHost, word: str) -> None:
    host.set_faults(hypervisor="lost" if word == "lost" else "ok")


def _trial(value: tuple[str, Optional[int]]) -> str:
    word, count = value
    return word if count is None else f"{word} {count}"


def _starts(_: Stage, host: LabHost, value: tuple[str, Optional[int]]) -> None:
    host.set_faults(starts=_trial(value))


def _migrations(_: Stage, host: LabHost, value: tuple[str, Optional[int]]) -> None:
    host.set_faults(migrations=_trial(value))


def _boots(stage: Stage, host: LabHost, value: tuple[str, Optional[float]]) -> None:
    word, seconds = value
    if seconds is not None:
        word = f"{word} {seconds / stage.lab.speed:g}"
    host.set_faults(boots=word)


def _version(_: Stage, host: LabHost, version: int) -> None:
    host.version = version
    host.write_config()
    host.restarts_at.pop(AGENT, None)
    host.kill_agent()
    if host.is_powered:
        # The broker reads up to its own version: it is the new release's as well.
        if host.broker_process is not None:
            # A process that is frozen receives the signal when it continues.
            host.broker_process.terminate()
            host.thaw("broker")
            host.broker_process.wait()
            host.start_broker()
        host.start_agent()


def _until(stage: Stage, entry: TimelineEntry) -> Optional[int]:
    """Return when a maintenance ends by itself, by this machine's clock."""
    if entry.for_s is None:
        return None
    return math.ceil(time.time() + entry.for_s / stage.lab.speed)


_ON_HOST: dict[Verb, Callable[[Any, LabHost, Any], None]] = {
    Verb.SET: _set,
    Verb.POWER: _power,
    Verb.AGENT: daemons.agent,
    Verb.BROKER: daemons.broker,
    Verb.SANLOCK: daemons.sanlock,
    Verb.STORAGE: _storage,
    Verb.HYPERVISOR: _hypervisor,
    Verb.STARTS: _starts,
    Verb.BOOTS: _boots,
    Verb.MIGRATIONS: _migrations,
    Verb.VERSION: _version,
}


def _engine(stage: Stage, value: tuple[str, Any]) -> None:
    word, target = value
    host = _main_host(stage)
    stage.note(host, fault_words(Verb.ENGINE, value))
    if host is None:
        return
    if word == "migrate":
        host.migrate_engine(stage.lab.hosts[target].host_id)
    elif word == "kill":
        host.kill_vm()
    else:
        host.order_engine(word)


def _main_host(stage: Stage) -> Optional[LabHost]:
    for host in stage.lab.hosts.values():
        record = host.vm()
        if record is not None and record.phase.value != "arriving":
            return host
    return None


def _slot(stage: Stage, entry: TimelineEntry, name: str) -> None:
    word, argument = entry.value
    host = None if name == "0" else stage.lab.hosts[name]
    slot = 0 if host is None else host.host_id
    stage.note(host, fault_words(entry.verb, entry.value, slot))
    kept = stage.observer.blocks.get(slot, [])
    latest = kept[-1] if kept else b""
    if word == "snapshot":
        stage.copies[slot] = latest
        return
    if word == "torn":
        stage.tear_next(slot, argument)
        return
    found = Slot(
        number=slot,
        latest=latest,
        record=_record(slot, latest) if slot else None,
        oldest=kept[0] if kept else b"",
        copy=stage.copies.get(slot, b""),
        newest=max(each.version for each in stage.lab.hosts.values()),
    )
    block = damaged(found, word, argument, stage.scenario.seed)
    if entry.for_s is None:
        stage.lab.write_block(slot, block)
    else:
        stage.lab.mask(slot, block, entry.for_s / stage.lab.speed)


def _record(slot: int, block: bytes) -> HostRecord:
    content = decode_slot(slot, block, version=999)
    if isinstance(content, HostRecord):
        return content
    return HostRecord(host_id=slot, timestamp=1, score=0, engine=_NOBODY, hostname=f"host{slot}")
