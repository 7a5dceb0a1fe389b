"""The drawn table: what is shown is what is declared, and the file in docs is up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from he_fsm import State, diagram
from he_fsm.states.diagram import FORMATS, explain
from he_fsm.states.row import Transition
from he_fsm.states.table import ROWS

DOT_FILE = Path(__file__).parents[2] / "docs" / "state-diagram.dot"


def test_the_diagram_in_docs_is_up_to_date() -> None:
    assert DOT_FILE.read_text(encoding="utf-8") == diagram("dot"), "run `make diagram`"


def test_dot_is_the_usual_form() -> None:
    assert diagram() == diagram("dot")


def test_dot_shows_every_state_and_every_edge() -> None:
    text = diagram("dot")
    assert text.startswith("// Generated")
    assert text.endswith("}\n")
    assert "  start -> Unknown;" in text
    shown = set()
    for source, to, label in re.findall(r'^  (\w+) -> (\w+) \[label="([^"]*)"', text, re.MULTILINE):
        for line in label.split("\\n"):
            name, _, does = line.partition(" / ")
            shown.add((source, name, to, does))
    assert shown == {(row.source.value, row.name, row.to.value, row.does) for row in ROWS}
    for state in State:
        assert f'  {state.value} [fillcolor="#' in text
        assert f'tooltip="{state.meaning}"' in text


def test_quotes_in_dot_are_in_pairs() -> None:
    for line in diagram("dot").splitlines():
        assert line.count('"') % 2 == 0


def test_mermaid_shows_every_edge() -> None:
    lines = diagram("mermaid").splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> Unknown"]
    shown = set()
    for line in lines[2:]:
        match = re.fullmatch(r"    (\w+) --> (\w+): ([\w, ]+)", line)
        assert match, line
        shown |= {(match[1], name, match[2]) for name in match[3].split(", ")}
    assert shown == {(row.source.value, row.name, row.to.value) for row in ROWS}


def told(row: Transition) -> str:
    if row.by_one:
        return "by one"
    return ("at first" if row.in_series else "yes") if row.notifies else ""


def test_the_table_lists_every_row_in_order() -> None:
    lines = diagram("table").splitlines()
    assert lines[0] == "| from | edge | to | when | does | told |"
    cells = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert cells == [
        [
            *(row.source.value, row.name, row.to.value, row.says, row.does),
            told(row),
        ]
        for row in ROWS
    ]


def test_an_unknown_form_is_refused_with_those_that_there_are() -> None:
    assert FORMATS == ("dot", "mermaid", "table")
    with pytest.raises(ValueError, match="form must be one of dot, mermaid, table, got 'svg'"):
        diagram("svg")


def test_a_states_edges_are_explained_in_the_order_in_which_they_are_tried() -> None:
    assert explain(State.SCORE_BLOCKED) == (
        (
            "1. facts_missing -> Unknown: storage, lease manager or hypervisor can't be read, "
            "or the host was suspended"
        ),
        (
            "2. global_maintenance -> GlobalMaintenance: "
            "global maintenance is set, or slot 0 has never been readable"
        ),
        (
            "3. superseded -> Unknown: a whole record of a newer parse version keeps growing: "
            "another release has taken over [stop the agent]"
        ),
        (
            "4. vm_found_here -> EngineStarting: "
            "an engine VM is here: received by migration, or found running"
        ),
        (
            "5. arrival_lost -> ScoreBlocked: a VM was to arrive here by migration, and its source "
            "is dead or silent [give the arrival up]"
        ),
        (
            "6. maintenance_set -> LocalMaintenance: local maintenance is set, or the host "
            "is about to be shut down"
        ),
        (
            "7. block_expired -> EngineDown: "
            "the last bad ending is long enough ago; nothing is given up for good"
        ),
    )
