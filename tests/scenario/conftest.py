"""Scenarios for the tests, from a few lines."""

from __future__ import annotations

import textwrap
from typing import Callable

import pytest

from he_fsm.errors import ScenarioError
from he_fsm.scenario import Judge, Scenario, parse_scenarios

HEAD = "scenarios:\n  - name: test\n"


def _read(body: str, **overrides: str) -> Scenario:
    text = HEAD + textwrap.indent(textwrap.dedent(body).strip("\n") + "\n", "    ")
    if not textwrap.dedent(body).strip().startswith("hosts:") and "\nhosts:" not in body:
        text += "    hosts: 3\n"
    return parse_scenarios(text, "f.yaml", overrides)[0]


@pytest.fixture(scope="session")
def read() -> Callable[..., Scenario]:
    """Read one scenario from its keys; three equal hosts where it says none."""
    return _read


@pytest.fixture(scope="session")
def refusal() -> Callable[..., str]:
    """Return the message with which a scenario is refused."""

    def refused(body: str, **overrides: str) -> str:
        with pytest.raises(ScenarioError) as caught:
            _read(body, **overrides)
        return str(caught.value)

    return refused


@pytest.fixture(scope="session")
def judge_of() -> Callable[..., Judge]:
    """Make the judge of one expectation, or of a whole body."""

    def made(*expect: str, until: str = "600s", timeline: str = "") -> Judge:
        lines = "".join(f"  - {entry}\n" for entry in expect)
        acts = f"timeline:\n  - {timeline}\n" if timeline else ""
        body = f"until: {until}\n{acts}" + (f"expect:\n{lines}" if lines else "")
        return Judge(_read(body))

    return made
