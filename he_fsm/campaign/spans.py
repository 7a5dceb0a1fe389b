"""Times to failure and to repair, and their distributions."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import attrs

from he_fsm.campaign.incidents import Incidents, read_incidents
from he_fsm.document.forms import Duration, Form, Number, Schema, Text
from he_fsm.document.mappings import keys_schema, read_keys
from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import Node, refusal
from he_fsm.scenario.language.host_names import HostNames

# Times are rounded to milliseconds: scenario files stay readable, and play the same.
DIGITS: Final = 3


class Span(Protocol):
    """The distribution of a random time."""

    @property
    def mean_s(self) -> float:
        """The mean of the distribution, in seconds."""

    def draw(self, draws: random.Random) -> float:
        """Draw a time in seconds, with exactly one number of *draws*."""


@attrs.frozen
class Exponential:
    """The memoryless distribution: the remaining time does not depend on the time passed."""

    mean_s: float

    def draw(self, draws: random.Random) -> float:
        """Draw one."""
        return round(draws.expovariate(1.0) * self.mean_s, DIGITS)


@attrs.frozen
class Weibull:
    """Failures that depend on age: with a `shape` above 1 more often late, below 1 early."""

    mean_s: float
    shape: float

    def draw(self, draws: random.Random) -> float:
        """Draw one."""
        scale_s = self.mean_s / math.gamma(1 + 1 / self.shape)
        return round(draws.weibullvariate(scale_s, self.shape), DIGITS)


@attrs.frozen
class Fixed:
    """Always the same time."""

    mean_s: float

    def draw(self, draws: random.Random) -> float:
        """Return the time."""
        draws.random()
        return round(self.mean_s, DIGITS)


@attrs.frozen
class Observed:
    """One of the observed times, all with the same probability."""

    seconds: tuple[float, ...]

    @property
    def mean_s(self) -> float:
        """The mean of the observed times."""
        return math.fsum(self.seconds) / len(self.seconds)

    def draw(self, draws: random.Random) -> float:
        """Draw one."""
        return round(self.seconds[int(draws.random() * len(self.seconds))], DIGITS)


@attrs.frozen
class Surroundings:
    """The context of a campaign's forms: the hosts, and the folder of the files that it names."""

    hosts: HostNames
    folder: Path


@attrs.frozen
class SpanForm:
    """
    A mean time (of exponentially distributed times), or a mapping that names the distribution.

    `is_between`: of observed incidents, read the time from the end of one to the next, not how long
    each lasted.
    """

    is_between: bool

    @property
    def _forms(self) -> Mapping[str, Mapping[str, Form]]:
        mean = Duration(positive=self.is_between)
        return {
            "exponential": {"exponential": mean},
            "fixed": {"fixed": mean},
            "weibull": {"weibull": mean, "shape": Number(0.1, 100)},
            "csv": {"csv": Text("a file's name"), "cause": Text("a cause in the file")},
        }

    def read(self, node: Node, context: Surroundings) -> Span:
        """Return the distribution."""
        if not isinstance(node, Tree):
            return Exponential(Duration(positive=self.is_between).read(node, context))
        kind = next((kind for kind in self._forms if kind in node.pairs), None)
        if kind is None:
            known = ", ".join(self._forms)
            raise refusal(node, f"expected a time, or a mapping with one of {known}")
        values = read_keys(node, self._forms[kind], context, "a time")
        if kind == "csv":
            return Observed(self._observed(node, values, context))
        if kind == "weibull" and "shape" not in values:
            raise refusal(node, "the key 'shape' is missing")
        if kind == "weibull":
            return Weibull(values["weibull"], values["shape"])
        return Fixed(values["fixed"]) if kind == "fixed" else Exponential(values["exponential"])

    def _observed(
        self, node: Tree, values: Mapping[str, Any], context: Surroundings
    ) -> tuple[float, ...]:
        path = context.folder / values["csv"]
        incidents: Incidents = read_incidents(path, values.get("cause"))
        seconds = incidents.between_s if self.is_between else incidents.lasted_s
        if not seconds:
            raise refusal(node, f"{path} has {incidents.count} such incidents, expected at least 2")
        return seconds

    def schema(self) -> Schema:
        """Return the schema of a duration, or of one of the objects."""
        objects = [keys_schema(forms, (kind,)) for kind, forms in self._forms.items()]
        return {"anyOf": [*Duration(positive=self.is_between).schema()["anyOf"], *objects]}
