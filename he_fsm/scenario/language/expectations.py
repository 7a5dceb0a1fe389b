"""The expectations: how an entry of `expect` is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from he_fsm.document.forms import Duration, Flag, Form, Schema
from he_fsm.document.mappings import known_pairs
from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import Node, Pair, Sequence, as_mapping, describe, flow_text, refusal
from he_fsm.scenario.judging.counting import (
    host_of_total,
    read_totals,
    total_condition,
    totals_schema,
)
from he_fsm.scenario.judging.matching import Condition
from he_fsm.scenario.language.conditions import CONDITIONS, ConditionsForm
from he_fsm.scenario.language.forms import HOST_SCHEMA
from he_fsm.scenario.language.host_names import HostNames
from he_fsm.scenario.model import Expectation, Kind, Total

_TIMES: Final[Mapping[str, Form]] = {
    "at": Duration(),
    "by": Duration(),
    "after": Duration(),
    "from": Duration(),
    "to": Duration(),
    "window": Duration(positive=True),
    "never": Flag(),
    "since": ConditionsForm(),
}
_KEYS: Final = (*_TIMES, "total", "host", "any", *CONDITIONS)
# Pairs of keys that exclude each other; below, keys that require another key.
_APART: Final = (("at", "by"), ("at", "from"), ("at", "to"), ("by", "from"), ("by", "to"))
# The keys that narrow a total, beside it or in it.
_NARROWING: Final = ("from", "to", "window", "host")
_NEEDS: Final = {"after": "by", "host": "total", "window": "total"}


@attrs.frozen
class ExpectationForm:
    """
    One entry of `expect`.

    `since`: the conditions of the surrounding entry with `any`; an entry without a `since` of its
    own inherits them.
    """

    since: tuple[Condition, ...] = ()

    def read(self, node: Node, hosts: HostNames) -> Expectation:
        """Return the expectation."""
        pairs = _beside_total(known_pairs(node, _KEYS, "an entry like {by: 3m, engine_on: 2}"))
        times = {
            key: _TIMES[key].read(pair.value, hosts) for key, pair in pairs.items() if key in _TIMES
        }
        since = times.get("since", self.since)
        if "any" in pairs:
            return self._any(node, pairs, since, hosts)
        _check_keys(node, pairs, times)
        conditions = [
            condition
            for key, pair in pairs.items()
            if key in CONDITIONS
            for condition in CONDITIONS[key].conditions(pair.value, hosts)
        ]
        totals = _read_totals(pairs, hosts)
        never = times.get("never", False)
        # With `at`, `by` or `never`, a total is a condition like others: the total so far.
        if never or "at" in pairs or "by" in pairs:
            conditions.extend(total_condition(t.name, t.host, t.comparison) for t in totals)
            totals = ()
        return Expectation(
            kind=_kind(times, conditions),
            start=times.get("at", times.get("after", times.get("from", 0.0))),
            end=times.get("at", times.get("by", times.get("to"))),
            conditions=tuple(conditions),
            never=never,
            totals=totals,
            window=times.get("window"),
            since=since,
            text=flow_text(node),
            place=node.place,
        )

    def _any(
        self,
        node: Node,
        pairs: Mapping[str, Pair],
        since: tuple[Condition, ...],
        hosts: HostNames,
    ) -> Expectation:
        for key, pair in pairs.items():
            if key not in ("any", "since"):
                raise refusal(pair.key, f"'{key}' stands in the entries of 'any', not beside it")
        entries = pairs["any"].value
        if not isinstance(entries, Sequence) or not entries.items:
            raise refusal(entries, f"expected a list of entries, got {describe(entries)}")
        form = ExpectationForm(since)
        alternatives = []
        for entry in entries.items:
            together = entry.items if isinstance(entry, Sequence) else (entry,)
            if not together:
                raise refusal(entry, "expected at least one entry in the list")
            alternatives.append(tuple(form.read(item, hosts) for item in together))
        return Expectation(
            kind=Kind.ANY,
            since=since,
            alternatives=tuple(alternatives),
            text=flow_text(node),
            place=node.place,
        )

    def schema(self) -> Schema:
        """Return the schema of an object; entries of `any` refer to it as `#/$defs/expectation`."""
        entry = {"$ref": "#/$defs/expectation"}
        together = {"type": "array", "items": entry, "minItems": 1}
        narrowing = {key: form.schema() for key, form in _TIMES.items() if key in _NARROWING}
        narrowing["host"] = HOST_SCHEMA
        properties: dict[str, Any] = {
            **{key: form.schema() for key, form in _TIMES.items()},
            **{key: form.schema() for key, form in CONDITIONS.items()},
            "total": totals_schema(narrowing),
            "host": HOST_SCHEMA,
            "any": {"type": "array", "items": {"anyOf": [entry, together]}, "minItems": 1},
        }
        any_alone = {"required": ["any"], "propertyNames": {"enum": ["any", "since"]}}
        asks = [{"required": [key]} for key in ("total", *CONDITIONS)]
        timed = [{"required": [key]} for key in ("at", "by", "from", "to", "never", "total")]
        plain = {
            "not": {"anyOf": [{"required": list(pair)} for pair in (("any",), *_APART)]},
            "allOf": [{"anyOf": asks}, {"anyOf": timed}],
            "dependentRequired": {key: [other] for key, other in _NEEDS.items()},
        }
        return {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            "anyOf": [any_alone, plain],
        }


def _beside_total(pairs: Mapping[str, Pair]) -> dict[str, Pair]:
    """Move the keys that narrow a total from inside it to beside it; both mean the same."""
    found = dict(pairs)
    total = found.get("total")
    inside = total.value.pairs if total is not None and isinstance(total.value, Tree) else {}
    if total is None or not any(key in inside for key in _NARROWING):
        return found
    for key in _NARROWING:
        if key in inside:
            if key in found:
                raise refusal(inside[key].key, f"'{key}' stands beside 'total' as well")
            found[key] = inside[key]
    plain = {key: pair for key, pair in inside.items() if key not in _NARROWING}
    found["total"] = Pair(total.key, Tree(total.value.place, total.value.path, plain))
    return found


def _check_keys(node: Node, pairs: Mapping[str, Pair], times: Mapping[str, Any]) -> None:
    """Refuse keys that exclude each other, and times in the wrong order."""
    for first, second in _APART:
        if first in pairs and second in pairs:
            raise refusal(pairs[second].key, f"'{second}' can't stand beside '{first}'")
    for key, other in _NEEDS.items():
        if key in pairs and other not in pairs:
            raise refusal(pairs[key].key, f"'{key}' goes with '{other}'")
    never = times.get("never", False)
    is_moment = "at" in pairs or "by" in pairs
    if never and is_moment:
        raise refusal(pairs["never"].key, "'never' goes with 'from' and 'to'")
    if "window" in pairs and (is_moment or never):
        raise refusal(pairs["window"].key, "'window' goes with a total over the run or from/to")
    if "total" not in pairs and not any(key in pairs for key in CONDITIONS):
        raise refusal(node, "nothing is expected here: no condition and no total")
    is_timed = is_moment or never or "from" in pairs or "to" in pairs
    if not is_timed and any(key in pairs for key in CONDITIONS):
        raise refusal(node, "no time here: expected 'at', 'by', or 'from' and 'to'")
    for begin, end in (("after", "by"), ("from", "to")):
        if begin in times and end in times and times[begin] > times[end]:
            raise refusal(pairs[begin].value, f"'{begin}' is later than '{end}'")


def _read_totals(pairs: Mapping[str, Pair], hosts: HostNames) -> tuple[Total, ...]:
    if "total" not in pairs:
        return ()
    host = hosts.one(pairs["host"].value) if "host" in pairs else None
    return tuple(
        Total(name, host_of_total(name, host), comparison)
        for name, comparison in read_totals(pairs["total"].value, hosts).items()
    )


def _kind(times: Mapping[str, Any], conditions: list[Condition]) -> Kind:
    if "at" in times:
        return Kind.AT
    if "by" in times:
        return Kind.BY
    return Kind.INTERVAL if conditions else Kind.TOTAL


def latest_time(expectation: Expectation) -> float:
    """Return the latest time that an expectation names, or 0."""
    times = [latest_time(entry) for entries in expectation.alternatives for entry in entries]
    return max(expectation.start, expectation.end or 0.0, *times)


def check_within(expectation: Expectation, node: Node, until: float) -> None:
    """Refuse times after the end of the run; after a `since` they are not known yet."""
    tree = as_mapping(node, "an entry")
    for entry_node, entry in _alternatives(expectation, tree):
        check_within(entry, entry_node, until)
    if expectation.since or expectation.alternatives:
        return
    for key in ("at", "after", "from"):
        value = tree.get(key)
        if value is not None and Duration().read(value, HostNames()) > until:
            raise refusal(value, f"this is after the run ends (until: {until:g} s)")


def _alternatives(expectation: Expectation, node: Tree) -> list[tuple[Node, Expectation]]:
    entries = node.get("any")
    if not isinstance(entries, Sequence):
        return []
    return [
        (entry_node, entry)
        for item, together in zip(entries.items, expectation.alternatives)
        for entry_node, entry in zip(
            item.items if isinstance(item, Sequence) else (item,), together
        )
    ]
