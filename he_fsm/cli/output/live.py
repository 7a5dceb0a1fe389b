"""The live table of a cluster: one row a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from he_fsm.cli.output.blocks import damaged_lines, engine_text
from he_fsm.cli.output.timeline import clock_text
from he_fsm.live.summary import facts_of, record_of, summary
from he_fsm.metadata import HostRecord
from he_fsm.words import printable

if TYPE_CHECKING:
    from he_fsm.rehearse.run import Rehearsal

_STYLES = {"EngineUp": "green", "Unknown": "red", "ScoreBlocked": "red"}
_ENGINE_STYLES = {"good": "green", "bad": "red"}


def table_of(found: dict[str, Any]) -> RenderableType:
    """Draw the broker's status: summary lines, and a row for each host."""
    table = Table(expand=True)
    for title in ("host", "state", "score", "why", "engine", "alive"):
        table.add_column(title, overflow="fold")
    hosts = {int(key): plain for key, plain in found["hosts"].items()}
    damaged = {host_id: plain for host_id, plain in hosts.items() if "problem" in plain}
    for host_id, plain in sorted(hosts.items()):
        if host_id not in damaged:
            table.add_row(*_row(host_id, plain, found))
    lines = [Text(printable(line)) for line in summary(found)]
    return Group(*lines, table, *(Text(line, "red") for line in damaged_lines(damaged)))


def _row(host_id: int, plain: dict[str, Any], found: dict[str, Any]) -> list[RenderableType]:
    record = record_of(host_id, plain)
    facts = facts_of(plain["text"])
    state = facts.get("state", "")
    is_alive = host_id in found["agent"].get("alive", ())
    return [
        Text(f"{host_id} {printable(record.hostname)}"),
        Text(printable(state), _STYLES.get(state, "")),
        str(record.score),
        Text(printable(facts.get("score-why", ""))),
        Text(engine_text(record.engine)),
        _alive_text(record, is_alive=is_alive),
    ]


def _alive_text(record: HostRecord, *, is_alive: bool) -> Text:
    if record.stopped:
        return Text("stopped", "yellow")
    return Text("yes") if is_alive else Text("no", "red")


def lab_table(rehearsal: Rehearsal) -> RenderableType:
    """Draw a rehearsal: time, engine, lease, and a row for each host with its last event."""
    observer = rehearsal.observer
    last = {event.host: event for event in observer.events}
    vms, lease = _truth(rehearsal)
    head = Text(f"{rehearsal.scenario.name}  {clock_text(observer.time())}")
    latest = [event for event in observer.events if event.kind == "fault"][-1:]
    for fault in latest:
        where = "cluster" if fault.host is None else f"host {fault.host}"
        head.append(f"   {clock_text(fault.t)} {where}: {printable(fault.text())}", "magenta")
    table = Table(expand=True)
    for title in ("host", "state", "score", "why", "engine", "lease", "record", "last event"):
        table.add_column(title, overflow="fold")
    for name in rehearsal.lab.hosts:
        seen = observer.host(name)
        record = seen.record
        facts = facts_of((record.text if record else "").split("\n"))
        age_s = observer.time() - seen.record_since
        state = seen.state or "no agent"
        event = last.get(name)
        table.add_row(
            Text(f"host {name}"),
            Text(state, _STYLES.get(state, "")),
            "" if seen.score is None else str(seen.score),
            Text(printable(facts.get("score-why", ""))),
            Text(vms.get(name) or "", _ENGINE_STYLES.get(vms.get(name) or "", "yellow")),
            Text("held" if name == lease else "", "blue"),
            "" if record is None else f"{age_s:.0f} s old",
            Text("" if event is None else f"{clock_text(event.t)} {printable(event.text())}"),
        )
    return Group(head, table)


def _truth(rehearsal: Rehearsal) -> tuple[dict[str, Optional[str]], Optional[str]]:
    """Return the word for the VM on each host, and who holds the lease."""
    vms, lease = {}, None
    for change in rehearsal.observer.truth.changes:
        if change.kind == "vm" and change.host is not None:
            vms[change.host] = change.word
        elif change.kind == "lease":
            lease = change.host
    return vms, lease
