"""The live table of a cluster: one row a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from he_fsm.cli.blocks import printable
from he_fsm.cli.status import record_of, summary
from he_fsm.cli.timeline import clock_text
from he_fsm.metadata import engine_words

if TYPE_CHECKING:
    from he_fsm.rehearse.run import Rehearsal

_STYLES = {"EngineUp": "green", "Unknown": "red", "ScoreBlocked": "red"}


def table_of(found: dict[str, Any]) -> RenderableType:
    """Draw the broker's status: summary lines, and a row for each host."""
    table = Table(expand=True)
    for title in ("host", "state", "score", "why", "engine", "alive"):
        table.add_column(title, overflow="fold")
    for host, plain in sorted(found["hosts"].items(), key=lambda item: int(item[0])):
        table.add_row(*_row(int(host), plain, found))
    lines = [Text(printable(line)) for line in summary(found)]
    return Group(*lines, table)


def _row(host_id: int, plain: dict[str, Any], found: dict[str, Any]) -> list[RenderableType]:
    if "problem" in plain:
        return [str(host_id), Text(plain["problem"], "red"), "", Text(plain["detail"]), "", ""]
    record = record_of(host_id, plain)
    facts = dict(line.split("=", 1) for line in plain["text"] if "=" in line)
    state = facts.get("state", "")
    is_alive = host_id in found["agent"].get("alive", ())
    return [
        Text(f"{host_id} {printable(record.hostname)}"),
        Text(printable(state), _STYLES.get(state, "")),
        str(record.score),
        Text(printable(facts.get("score-why", ""))),
        Text(engine_words(record.engine)),
        Text("yes") if is_alive else Text("no", "red"),
    ]


def lab_table(rehearsal: Rehearsal) -> RenderableType:
    """Draw a rehearsal: time, engine, lease, and a row for each host with its last event."""
    observer = rehearsal.observer
    last = {event.host: event for event in observer.events}
    truth = {change.kind: change for change in observer.truth.changes if change.kind != "vm"}
    engine, lease = truth.get("engine"), truth.get("lease")
    where = "nowhere" if engine is None or engine.host is None else f"host {engine.host}"
    holder = "free" if lease is None or lease.host is None else f"host {lease.host}"
    head = Text(
        f"{clock_text(observer.time())}  engine: {engine.word if engine else 'down'} on {where}, "
        f"lease: {holder}"
    )
    table = Table(expand=True)
    for title in ("host", "state", "score", "why", "record", "last event"):
        table.add_column(title, overflow="fold")
    for name in rehearsal.lab.hosts:
        seen = observer.host(name)
        record = seen.record
        facts = dict(
            line.split("=", 1)
            for line in (record.text if record else "").split("\n")
            if "=" in line
        )
        age_s = observer.time() - seen.record_since
        state = seen.state or "no agent"
        event = last.get(name)
        table.add_row(
            Text(f"host {name}"),
            Text(state, _STYLES.get(state, "")),
            "" if seen.score is None else str(seen.score),
            Text(printable(facts.get("score-why", ""))),
            f"{age_s:.0f} s",
            Text("" if event is None else f"{clock_text(event.t)} {printable(event.text())}"),
        )
    return Group(head, table)
