"""What is counted in a run, and how a total is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from he_fsm.document.forms import Duration, Form, Number, Schema
from he_fsm.document.mappings import keys_schema, known_pairs
from he_fsm.document.nodes import Node, refusal
from he_fsm.document.units import Comparison
from he_fsm.scenario.forms import Compared
from he_fsm.scenario.host_names import HostNames
from he_fsm.scenario.matching import Compares, Condition, SignalKey

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
# Seconds without a good health page: no host's own deed, so `host` does not narrow them.
TIMED: Final = ("downtime", "longest_outage")

TOTAL_FORMS: Final[Mapping[str, Form]] = {
    **dict.fromkeys(COUNTED, Compared(Number())),
    **dict.fromkeys(TIMED, Compared(Duration())),
}


def read_totals(node: Node, hosts: HostNames) -> dict[str, Comparison]:
    """Read what stands after `total`."""
    pairs = known_pairs(node, tuple(TOTAL_FORMS), "totals like {starts: 1}")
    if not pairs:
        raise refusal(node, f"expected at least one of {', '.join(TOTAL_FORMS)}")
    return {key: TOTAL_FORMS[key].read(pair.value, hosts) for key, pair in pairs.items()}


def totals_schema(narrowing: Mapping[str, Schema] | None = None) -> Schema:
    """Give the schema of what stands after `total`: what is counted, and what narrows that."""
    keys = keys_schema(TOTAL_FORMS)
    return {**keys, "properties": {**keys["properties"], **(narrowing or {})}, "minProperties": 1}


def host_of_total(name: str, host: str | None) -> str | None:
    """Give the host that narrows a total, None where none does."""
    return None if name in TIMED else host


def total_condition(name: str, host: str | None, comparison: Comparison) -> Condition:
    """Make the condition on a total up to a moment."""
    narrowed = host_of_total(name, host)
    key: SignalKey = ("total", name, narrowed)
    label = f"total {name}" if narrowed is None else f"total {name} of host {narrowed}"
    return Condition(key, Compares(comparison), label)
