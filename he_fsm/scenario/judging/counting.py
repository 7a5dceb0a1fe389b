"""The totals of a run, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from he_fsm.document.forms import Duration, Form, Number, Schema
from he_fsm.document.mappings import keys_schema, known_pairs
from he_fsm.document.nodes import Node, refusal
from he_fsm.document.units import Comparison
from he_fsm.scenario.judging.matching import Compares, Condition, SignalKey
from he_fsm.scenario.language.forms import Compared
from he_fsm.scenario.language.host_names import HostNames

COUNTED: Final = (
    "starts",
    "refused_starts",
    "failed_starts",
    "migrations",
    "failed_migrations",
    "shutdowns",
    "poweroffs",
    "resets",
    "notifications",
)
# Seconds without a good health page. They belong to no host, so `host` does not narrow them.
TIMED: Final = ("downtime", "longest_outage")

TOTAL_FORMS: Final[Mapping[str, Form]] = {
    **dict.fromkeys(COUNTED, Compared(Number())),
    **dict.fromkeys(TIMED, Compared(Duration())),
}


def read_totals(node: Node, hosts: HostNames) -> dict[str, Comparison]:
    """Read the value of the key `total`."""
    pairs = known_pairs(node, tuple(TOTAL_FORMS), "totals like {starts: 1}")
    if not pairs:
        raise refusal(node, f"expected at least one of {', '.join(TOTAL_FORMS)}")
    return {key: TOTAL_FORMS[key].read(pair.value, hosts) for key, pair in pairs.items()}


def totals_schema(narrowing: Mapping[str, Schema] | None = None) -> Schema:
    """Return the schema of the key `total`: the totals, and the keys that narrow them."""
    keys = keys_schema(TOTAL_FORMS)
    return {**keys, "properties": {**keys["properties"], **(narrowing or {})}, "minProperties": 1}


def host_of_total(name: str, host: str | None) -> str | None:
    """Return the host that narrows a total, or None."""
    return None if name in TIMED else host


def total_condition(name: str, host: str | None, comparison: Comparison) -> Condition:
    """Make the condition on a total so far."""
    narrowed = host_of_total(name, host)
    key: SignalKey = ("total", name, narrowed)
    label = f"total {name}" if narrowed is None else f"total {name} of host {narrowed}"
    return Condition(key, Compares(comparison), label)
