"""What one run of one scenario showed, whoever executed it."""

from __future__ import annotations

from typing import Any, Optional, Union

import attrs

from he_fsm.report.events import Event
from he_fsm.report.html import as_html
from he_fsm.report.truth import Change
from he_fsm.scenario.judging.judge import Failure
from he_fsm.scenario.model import Scenario


@attrs.frozen(kw_only=True)
class HostView:
    """
    One host at a moment: what a status block shows. Text lines are the record's own.

    `state`: None while no agent runs. `score`: as last written to the whiteboard, also by an
    agent that is gone; None: this host never wrote.
    """

    name: str
    host_id: int
    hostname: str
    state: Optional[str]
    score: Optional[int]
    # Whether its agent goes on writing.
    writes: bool
    # Whether its host has power.
    powered: bool = attrs.field(default=True, kw_only=True)
    block: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Outcome:
    """
    What one run of one scenario showed.

    `failures`: expectations and rules that did not hold; none: it passed. `totals`: by name, as
    the scenario language lists them. `start`, `end`: the hosts at both ends of the run.
    """

    scenario: Scenario
    seed: int
    failures: tuple[Failure, ...]
    totals: dict[str, Any]
    events: tuple[Event, ...]
    # What was true and when, for pictures: the engine, its VMs, the agents' states.
    changes: tuple[Change, ...] = attrs.field(repr=False)
    engine_on: Optional[str]
    engine: str
    # The newest parse version that any host writes.
    versions: int
    start: tuple[HostView, ...]
    end: tuple[HostView, ...]
    # By how much looks were late, in the scenario's seconds: of a machine that was too busy.
    late_s: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether everything held."""
        return not self.failures

    def _repr_html_(self) -> str:
        """Show the outcome in Jupyter."""
        return as_html(self)

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as the plain object that `he-fsm simulate --json` prints."""
        return {
            "name": self.scenario.name,
            "verdict": "passed" if self.passed else "failed",
            "seed": self.seed,
            "failures": [
                {
                    "place": str(failure.place),
                    "line": failure.line,
                    "expected": failure.expected,
                    "seen": failure.seen,
                    "at": None if failure.at is None else round(failure.at, 3),
                }
                for failure in self.failures
            ],
            "totals": self.totals,
            "events": [
                {
                    "t": round(event.t, 3),
                    "host": host_key(event.host),
                    "kind": event.kind,
                    **event.details,
                }
                for event in self.events
            ],
            "final": {
                "engine_on": host_key(self.engine_on),
                "engine": self.engine,
                "hosts": {
                    view.name: {"state": view.state, "score": view.score} for view in self.end
                },
            },
        }


def host_key(name: Optional[str]) -> Union[str, int, None]:
    """Return a host as JSON shows it: its id where it has no other name."""
    return int(name) if name is not None and name.isdecimal() else name
