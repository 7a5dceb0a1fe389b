"""The aim of a policy: the measures of a run, which one to minimise, and limits on others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, Final

import attrs

from he_fsm.campaign.results import YEAR_S, RunResult
from he_fsm.document.forms import Choice, Duration, Form, Number, Schema
from he_fsm.document.mappings import Record, keys_schema, read_keys, written_as
from he_fsm.document.nodes import Node


@attrs.frozen
class Measure:
    """A count or a time of a run; `form`: how a limit for a year is written."""

    of: Callable[[RunResult], float]
    form: Form
    about: str

    def a_year(self, run: RunResult) -> float:
        """Return the measure of a run, converted to a year."""
        return self.of(run) * YEAR_S / run.horizon_s


_COUNT: Final = Number(minimum=0)
MEASURES: Final[Mapping[str, Measure]] = {
    "downtime": Measure(lambda run: run.downtime_s, Duration(), "downtime"),
    "outages": Measure(lambda run: len(run.outages), _COUNT, "outages"),
    "starts": Measure(lambda run: run.starts, _COUNT, "starts"),
    "moves": Measure(lambda run: run.migrations, _COUNT, "moves"),
    "needless_moves": Measure(lambda run: run.needless_moves, _COUNT, "needless moves"),
}


@attrs.frozen
class LimitsForm:
    """Measures, each with its upper limit: the average of a year."""

    def read(self, node: Node, context: object) -> dict[str, float]:
        """Return the limits."""
        return read_keys(node, _FORMS, context, "limits like {moves: 2}")

    def schema(self) -> Schema:
        """Return the schema of an object."""
        return keys_schema(_FORMS)


_FORMS: Final = {name: measure.form for name, measure in MEASURES.items()}


@attrs.frozen(kw_only=True)
class Aim:
    """The measure to minimise, and upper limits on others, each as the average of a year."""

    least: str = attrs.field(default="downtime", metadata=written_as("least", Choice.of(*MEASURES)))
    at_most: dict[str, float] = attrs.field(
        factory=dict, metadata=written_as("at_most", LimitsForm())
    )

    @property
    def words(self) -> str:
        """The aim in words, to be used in a sentence."""
        limits = [
            f"at most {limit:g}{' s' if isinstance(MEASURES[name].form, Duration) else ''} "
            f"{MEASURES[name].about}"
            for name, limit in self.at_most.items()
        ]
        least = f"least {MEASURES[self.least].about}"
        return least if not limits else f"{least} with {' and '.join(limits)} a year"


AIM_FORM: Final = Record(Aim, "an aim like {least: downtime, at_most: {moves: 2}}")
