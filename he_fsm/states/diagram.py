"""The table, drawn: as Graphviz dot, as Mermaid, as a Markdown table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from he_fsm.states.names import State
from he_fsm.states.row import Transition
from he_fsm.states.table import INITIAL, TABLE

# Where the VM is, by colour: here and executing, going or coming, not here, hands off.
_COLOURS = {
    State.ENGINE_UP: "#b7e4c7",
    State.ENGINE_STARTING: "#fff3b0",
    State.ENGINE_MIGRATING_AWAY: "#fff3b0",
    State.ENGINE_STOPPING: "#fff3b0",
    State.ENGINE_DOWN: "#dbe9f6",
    State.LOCAL_MAINTENANCE: "#e5e5e5",
    State.SCORE_BLOCKED: "#ffd6a5",
    State.GLOBAL_MAINTENANCE: "#e5e5e5",
    State.UNKNOWN: "#e5e5e5",
}
FORMATS = ("dot", "mermaid", "table")


def diagram(form: str = "dot") -> str:
    """
    Draw the declared table as text.

    Args:
        form: `dot` (Graphviz), `mermaid` (GitHub, GitLab and others draw it) or `table` (Markdown).

    Raises:
        ValueError: no such form.
    """
    draw = {"dot": _dot, "mermaid": _mermaid, "table": _table}.get(form)
    if draw is None:
        msg = f"form must be one of {', '.join(FORMATS)}, got {form!r}"
        raise ValueError(msg)
    return draw()


def explain(state: State) -> tuple[str, ...]:
    """List the edges out of a state, in the order in which they are tried, one sentence each."""
    lines = []
    for number, row in enumerate(TABLE[state], start=1):
        does = f" [{row.does}]" if row.does else ""
        lines.append(f"{number}. {row.name} -> {row.to.value}: {row.says}{does}")
    return tuple(lines)


def _merged(rows: Iterable[Transition]) -> Mapping[tuple[State, State], list[Transition]]:
    """Join the rows between the same two states: one arrow with several names reads better."""
    merged: dict[tuple[State, State], list[Transition]] = {}
    for row in rows:
        merged.setdefault((row.source, row.to), []).append(row)
    return merged


def _dot() -> str:
    lines = [
        "// Generated from the table of he_fsm by `make diagram`; a test fails when it is stale.",
        "digraph he_fsm {",
        '  graph [rankdir=TB, nodesep=0.5, ranksep=0.9, fontname="sans-serif"];',
        '  node [shape=box, style="rounded,filled", fontname="sans-serif"];',
        '  edge [fontname="sans-serif", fontsize=9];',
        '  start [shape=point, label=""];',
        f"  start -> {INITIAL.value};",
    ]
    lines.extend(
        f'  {state.value} [fillcolor="{_COLOURS[state]}", tooltip="{state.meaning}"];'
        for state in TABLE
    )
    for rows in TABLE.values():
        for (source, to), edges in _merged(rows).items():
            label = "\\n".join(
                f"{row.name} / {row.does}" if row.does else row.name for row in edges
            )
            # The ways into hands-off states are many and plain: drawn lightly.
            light = to in (State.UNKNOWN, State.GLOBAL_MAINTENANCE)
            look = ', color="#999999", fontcolor="#777777", style=dashed' if light else ""
            lines.append(f'  {source.value} -> {to.value} [label="{label}"{look}];')
    lines.append("}")
    return "\n".join(lines) + "\n"


def _mermaid() -> str:
    lines = ["stateDiagram-v2", f"    [*] --> {INITIAL.value}"]
    for rows in TABLE.values():
        for (source, to), edges in _merged(rows).items():
            names = ", ".join(row.name for row in edges)
            lines.append(f"    {source.value} --> {to.value}: {names}")
    return "\n".join(lines) + "\n"


def _told(row: Transition) -> str:
    if not row.notifies:
        return ""
    if row.by_one:
        return "by one"
    return "at first" if row.in_series else "yes"


def _table() -> str:
    lines = ["| from | edge | to | when | does | told |", "| --- | --- | --- | --- | --- | --- |"]
    lines.extend(
        f"| `{row.source.value}` | `{row.name}` | `{row.to.value}` | {row.says} | {row.does} "
        f"| {_told(row)} |"
        for rows in TABLE.values()
        for row in rows
    )
    return "\n".join(lines) + "\n"
