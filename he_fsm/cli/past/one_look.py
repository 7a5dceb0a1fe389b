"""One decision with all that it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Optional

from he_fsm.cli.past.times import iso_text, time_text
from he_fsm.history.book import Recorded
from he_fsm.history.compare import difference, inputs, words
from he_fsm.history.look import Decided
from he_fsm.history.values import full
from he_fsm.metadata.engine import engine_condition
from he_fsm.metadata.record import HostRecord
from he_fsm.report.recorded import order_text

_READINGS: Final = ("gateway", "bridge", "mem_free", "cpu_load", "mem_load")


def look_lines(last: Optional[Recorded], now: Recorded) -> Iterator[str]:
    """Return a decision in words, with what it was made from; *last*: the look before."""
    seen, decided = now.look.seen, now.look.decided
    facts = seen.facts
    identity = now.session.identity
    yield (
        f"host {identity.host_id} ({identity.hostname}), record {now.number},"
        f" {time_text(seen.wall_at)}"
    )
    yield f"  decided: {words(seen.before.state.value, decided)}"
    for deed in decided.effects:
        if deed["is"] not in ("Notify", "Alarm"):
            yield f"  ordered: {order_text(deed)}"
    found = difference(None if last is None else last.look, now)
    if found is None:
        yield "  today:   the same"
    else:
        yield f"  today:   {found.today} (differs in {', '.join(found.what)})"
    yield f"  score:   {seen.score}: {seen.score_why}"
    values = (f"{name} {_value(getattr(facts.readings, name).value)}" for name in _READINGS)
    yield f"  read:    {', '.join(values)}"
    yield f"  VM here: {facts.vm.state.value}, health page {facts.vm.health.value}"
    for result in facts.results:
        yield f"  told:    {result.outcome.value}{f': {result.detail}' if result.detail else ''}"
    yield f"  lease:   {_lease(now)}"
    yield f"  next:    {decided.placement.reason}"
    yield from _slots(now)


def _value(value: Optional[float]) -> str:
    return "unknown" if value is None else f"{value:g}"


def _lease(now: Recorded) -> str:
    leases = now.look.seen.facts.leases
    if leases is None:
        return "the lease manager does not answer"
    owner = "nobody" if leases.owner is None else f"host {leases.owner}"
    dead = f"; dead: {', '.join(map(str, sorted(leases.dead_hosts)))}" if leases.dead_hosts else ""
    return f"held by {owner} ({leases.owner_state.value}){dead}"


def _slots(now: Recorded) -> Iterator[str]:
    seen, decided = now.look.seen, now.look.decided
    if seen.whiteboard is None:
        yield "  board:   it can't be read"
        return
    for host_id, slot in seen.whiteboard.slots.items():
        if not isinstance(slot, HostRecord):
            yield f"  slot {host_id}: {slot.word.value}: {slot.detail}"
            continue
        grew = decided.memory.sightings.get(host_id)
        age = ""
        if grew is not None and grew.grew_at is not None:
            age = f", {seen.facts.now - grew.grew_at:.1f} s old"
        yield (
            f"  slot {host_id}: score {slot.score}, engine {engine_condition(slot.engine)},"
            f" {_life(host_id, decided, now)}{age}"
        )


def _life(host_id: int, decided: Decided, now: Recorded) -> str:
    if host_id == now.session.identity.host_id:
        return "this host"
    if host_id in decided.liveness.alive:
        return "alive"
    return "not known" if host_id in decided.liveness.pending else "dead"


def look_json(last: Optional[Recorded], now: Recorded) -> dict[str, Any]:
    """Return a decision with all that it was made from, as a plain object."""
    seen, decided = now.look.seen, now.look.decided
    found = difference(None if last is None else last.look, now)
    return {
        "host": now.session.identity.host_id,
        "record": now.number,
        "at": iso_text(seen.wall_at),
        "state": seen.before.state.value,
        "to": decided.memory.state.value,
        "edge": decided.edge,
        "why": decided.reason,
        "effects": list(decided.effects),
        "score": seen.score,
        "score_why": seen.score_why,
        "same": found is None,
        "today": None if found is None else found.today,
        "new": inputs(None if last is None else last.look, now.look),
        "memory": full(seen.before),
        "facts": full(seen.facts),
        "own": full(seen.own),
        "whiteboard": full(seen.whiteboard),
    }
