"""What happened, as one host's kept decisions show it: events, in the timeline's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Optional

from he_fsm.history.book import Recorded
from he_fsm.history.look import Deed, Look
from he_fsm.metadata.engine import engine_condition
from he_fsm.report.events import Event
from he_fsm.snapshot import Health, LeaseView, LocalVm, OwnerState, VmState
from he_fsm.words import several

# What is of interest only where somebody looks closely.
DETAILS: Final = frozenset({"score", "problem", "lease", "notification", "reading"})

_ORDERS: Final = {
    "StartVm": "take the lease and start the VM",
    "ShutDownVm": "shut the guest down",
    "PowerOffVm": "power the VM off",
    "MigrateVm": "migrate the VM to host {target}",
    "CancelMigration": "cancel the migration",
    "GiveUpArrival": "give up the VM that was to arrive",
    "WriteGlobal": "write slot 0 again",
    "EndGlobal": "end global maintenance, whose time is over",
    "StopAgent": "stop: {reason}",
}
_VM: Final = {
    VmState.ABSENT: ("gone", "the VM is gone"),
    VmState.STARTING: ("starting", "the VM starts"),
    VmState.PAUSED: ("paused", "the VM is paused"),
    VmState.STOPPING: ("stopping", "the VM goes down"),
    VmState.LEAVING: ("migrating", "the VM migrates away"),
    VmState.ARRIVING: ("arriving", "a VM arrives by migration"),
    VmState.UNKNOWN: ("unknown", "the hypervisor does not answer"),
}
_PAGES: Final = {
    Health.GOOD: ("good", "the engine's health page is good"),
    Health.BAD: ("bad", "the engine's health page is bad"),
    Health.SILENT: ("bad", "the engine's health page does not answer"),
}
_READINGS: Final = ("gateway", "bridge")

_Told = tuple[str, str, dict[str, Any]]


def events_of(last: Optional[Recorded], now: Recorded) -> Iterator[Event]:
    """
    Return what happened on a host, and what it saw of others, from one of its looks to the next.

    Each event has the time of the host's wall clock, and the number of the look that shows it.

    Args:
        last: the look before; None: this is the first that is known.
        now: the look.
    """
    t, name = now.look.seen.wall_at, str(now.session.identity.host_id)
    for kind, text, details in _told(last, now):
        yield Event(t, name, kind, {"text": text, **details, "record": now.number})


def _told(last: Optional[Recorded], now: Recorded) -> Iterator[_Told]:
    if now.lost:
        yield "gap", f"{several(now.lost, 'look')} could not be kept", {}
    before = None if last is None else last.look
    yield from _of_agent(last, now)
    yield from _of_sight(before, now.look)
    yield from _of_vm(before, now.look)
    yield from _of_others(None if is_new_agent(last, now) else before, now.look)
    yield from _of_cluster(before, now.look)
    yield from _of_decision(now.look)


def is_new_agent(last: Optional[Recorded], now: Recorded) -> bool:
    """Return whether another process decides than the one before: it remembers less."""
    if last is None or now.lost:
        return False
    return now.look.seen.before != last.look.decided.memory


def _of_agent(last: Optional[Recorded], now: Recorded) -> Iterator[_Told]:
    if last is None:
        return
    if last.session.boot != now.session.boot:
        yield "agent", "the host has booted", {"boot": True}
    if is_new_agent(last, now):
        yield "agent", "the agent starts", {}
    if last.session.program != now.session.program:
        yield "agent", f"release {now.session.program} decides from now on", {}
    if last.session.policy != now.session.policy:
        yield "agent", "another policy is in force", {}


def _of_sight(last: Optional[Look], now: Look) -> Iterator[_Told]:
    """Tell what the host itself can do and measures."""
    seen = now.seen
    before = None if last is None else last.seen
    if before is None or before.score != seen.score:
        yield "score", f"score {seen.score}: {seen.score_why}", {"score": seen.score}
    if before is None:
        if seen.facts.local_maintenance:
            yield "maintenance", "local maintenance is on", {}
        return
    if before.facts.local_maintenance != seen.facts.local_maintenance:
        word = "set" if seen.facts.local_maintenance else "ended"
        yield "maintenance", f"local maintenance is {word}", {}
    if (before.facts.leaves_by is None) != (seen.facts.leaves_by is None):
        is_over = seen.facts.leaves_by is None
        word = "is not shut down after all" if is_over else "is about to be shut down"
        yield "agent", f"the host {word}", {}
    if (before.whiteboard is None) != (seen.whiteboard is None):
        can = "can't be read" if seen.whiteboard is None else "can be read"
        yield "storage", f"the whiteboard {can}", {}
    for name in _READINGS:
        value = getattr(seen.facts.readings, name).value
        if value != getattr(before.facts.readings, name).value:
            yield "reading", f"{name} reads {value if value is None else f'{value:g}'}", {}


def _of_vm(last: Optional[Look], now: Look) -> Iterator[_Told]:
    vm = now.seen.facts.vm
    for result in now.seen.facts.results:
        kind = "migration" if "migration" in result.outcome.value else "start"
        detail = f": {result.detail}" if result.detail else ""
        yield kind, f"{result.outcome.value}{detail}", {"result": result.outcome.value}
    before = None if last is None else last.seen.facts.vm
    if before == vm or (before is None and vm.state is VmState.ABSENT):
        return
    watch = now.decided.memory.vm
    if vm.state is VmState.UP and vm.health is not Health.GOOD and watch and not watch.was_good:
        # It boots, and has no page yet that could be bad.
        vm = LocalVm(VmState.UP)
    word, text = _vm_words(before, vm)
    if text:
        yield "vm", text, {"vm": word}


def _vm_words(before: Optional[LocalVm], vm: LocalVm) -> tuple[str, str]:
    """Return the scenario language's word for a VM, and a sentence; empty: nothing of interest."""
    is_new = before is None or before.state is not vm.state
    if vm.state is not VmState.UP:
        return _VM[vm.state] if is_new else ("", "")
    if vm.health in _PAGES:
        return _PAGES[vm.health]
    return ("running", "the VM runs") if is_new else ("", "")


def _of_others(last: Optional[Look], now: Look) -> Iterator[_Told]:
    """Tell who is given up and who is seen again; a new agent has given up nobody."""
    if last is None:
        return
    before, alive = last.decided, now.decided.liveness.alive
    for host_id in sorted(before.liveness.alive - alive):
        yield "liveness", f"host {host_id} is taken for dead", {"of": host_id, "alive": False}
    for host_id in sorted(alive - before.liveness.alive - before.liveness.pending):
        again = " again" if host_id in before.memory.sightings else ""
        yield "liveness", f"host {host_id} is alive{again}", {"of": host_id, "alive": True}


def _of_cluster(last: Optional[Look], now: Look) -> Iterator[_Told]:
    """Tell what the host sees of the engine, of slot 0 and of the lease."""
    engine, was = _engine(now), None if last is None else _engine(last)
    # Of its own VM a host tells more.
    if engine is not None and engine != was and engine[0] != _own_id(now):
        yield "engine", engine[1], {"on": engine[0]}
    yield from _of_slots(last, now)
    leases = _lease(now.seen.facts.leases)
    if leases is not None and (last is None or leases != _lease(last.seen.facts.leases)):
        yield "lease", leases, {}


def _own_id(look: Look) -> Optional[int]:
    own = look.seen.own
    return None if own is None else own.host_id


def _engine(look: Look) -> Optional[tuple[Optional[int], str]]:
    """Return where a host sees the engine, and a sentence; None: it sees nothing."""
    if look.seen.whiteboard is None:
        return None
    runs_on = look.decided.placement.engine_on
    if runs_on is None:
        return None, "the engine runs nowhere"
    own = look.seen.own
    sighting = look.decided.memory.sightings.get(runs_on)
    record = None if sighting is None else sighting.record
    if own is not None and own.host_id == runs_on:
        record = own
    condition = "" if record is None else f", {engine_condition(record.engine)}"
    return runs_on, f"the engine runs on host {runs_on}{condition}"


def _of_slots(last: Optional[Look], now: Look) -> Iterator[_Told]:
    before = {} if last is None else _problems(last)
    problems = _problems(now)
    for slot in sorted({*before, *problems}):
        word = problems.get(slot)
        if word != before.get(slot):
            text = f"slot {slot} is believed again" if word is None else f"slot {slot}: {word}"
            yield "problem", text, {"slot": slot, "word": word}
    flag = now.decided.memory.global_maintenance
    was = None if last is None else last.decided.memory.global_maintenance
    if flag != was and flag is not None and (flag or was):
        yield "maintenance", f"global maintenance is {'on' if flag else 'off'}", {}


def _problems(look: Look) -> dict[int, str]:
    memory = look.decided.memory
    found = {
        slot: seen.problem.value
        for slot, seen in memory.sightings.items()
        if seen.problem is not None
    }
    if memory.global_problem is not None:
        found[0] = memory.global_problem.value
    return found


def _lease(leases: Optional[LeaseView]) -> Optional[str]:
    if leases is None:
        return "the lease manager does not answer"
    if leases.held_by_other:
        return "another host holds this host's id"
    if not leases.joined:
        return "the host id is not held"
    if leases.owner is None:
        return "the engine's lease is free"
    renewed = ", which renews it no more" if leases.owner_state is OwnerState.FAILING else ""
    return f"the engine's lease is held by host {leases.owner}{renewed}"


def _of_decision(look: Look) -> Iterator[_Told]:
    decided, before = look.decided, look.seen.before
    if decided.edge is not None:
        source, to = before.state.value, decided.memory.state.value
        yield "state", decided.reason, {"from": source, "to": to, "edge": decided.edge}
    for deed in decided.effects:
        yield from _of_deed(deed)


def _of_deed(deed: Deed) -> Iterator[_Told]:
    name = str(deed["is"])
    if name == "Notify":
        yield "notification", str(deed["subject"]), {}
    elif name == "Alarm":
        what = "over" if deed.get("is_over") else "raised"
        yield "alarm", f"{deed.get('name')}: {deed.get('text')}", {"alarm": what}
    else:
        yield "order", order_text(deed), {"order": name}


def order_text(deed: Mapping[str, Any]) -> str:
    """Return what a decision ordered, in words; an order of another release by its name."""
    name = str(deed["is"])
    try:
        return _ORDERS[name].format(**deed)
    except (KeyError, IndexError):
        return name
