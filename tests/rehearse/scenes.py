"""Scenarios from a few lines."""

from __future__ import annotations

import textwrap

from he_fsm.scenario import Scenario, parse_scenarios


def file_of(body: str, name: str = "test") -> str:
    """Return the text of a scenario file with one scenario."""
    keys = textwrap.dedent(body).strip("\n") + "\n"
    return f"scenarios:\n  - name: {name}\n" + textwrap.indent(keys, "    ")


def scenario_of(body: str) -> Scenario:
    """Read one scenario."""
    return parse_scenarios(file_of(body), "inline.yaml")[0]
