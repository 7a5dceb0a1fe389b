"""The wall clock of a host at time 0."""

from __future__ import annotations

import datetime as dt
from typing import Optional

import attrs
import yaml
from yaml.constructor import SafeConstructor

from he_fsm.document.forms import Schema
from he_fsm.document.nodes import Node, Scalar, as_scalar, describe, refusal
from he_fsm.document.units import DURATION_PATTERN, parse_duration
from he_fsm.scenario.language.host_names import HostNames


@attrs.frozen
class WallClock:
    """
    A wall clock at time 0.

    `offset_s`: seconds ahead of true time. `start_s`: the time that it shows, in seconds since
    1970, in place of `offset_s`; None: `offset_s` counts.
    """

    offset_s: float = 0.0
    start_s: Optional[float] = None


@attrs.frozen
class ClockForm:
    """`+5h` (ahead of true time), or a date, which may have a time of day; UTC without a zone."""

    def read(self, node: Node, _hosts: HostNames) -> WallClock:
        """Return the clock."""
        what = "an offset like +5h, or a date like 1970-01-01"
        scalar = as_scalar(node, what)
        start_s = _date_seconds(scalar)
        if start_s is not None:
            return WallClock(start_s=start_s)
        try:
            return WallClock(offset_s=parse_duration(scalar.label))
        except ValueError:
            raise refusal(node, f"expected {what}, got {describe(node)}") from None

    def schema(self) -> Schema:
        """Return the schema of a number, a signed duration or a date."""
        pattern = rf"^([+-]?{DURATION_PATTERN}|[0-9]{{4}}-[0-9]{{1,2}}-[0-9]{{1,2}}([Tt ].*)?)$"
        return {"anyOf": [{"type": "number"}, {"type": "string", "pattern": pattern}]}


def _date_seconds(scalar: Scalar) -> float | None:
    """Return the seconds since 1970 of a date in any of YAML's forms; None: it is no date."""
    if SafeConstructor.timestamp_regexp.match(scalar.text) is None:
        return None
    node = yaml.ScalarNode("tag:yaml.org,2002:timestamp", scalar.text)
    try:
        moment = SafeConstructor().construct_yaml_timestamp(node)
    except ValueError as e:
        raise refusal(scalar, f"there is no such date: {scalar.text}") from e
    if not isinstance(moment, dt.datetime):
        moment = dt.datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001 - the zone is set below
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.timezone.utc)
    return moment.timestamp()
