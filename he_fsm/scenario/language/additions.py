"""Additions to the scenarios of a file before they are read: a beginning, further events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Optional

import attrs

from he_fsm.document.nodes import (
    Mapping as Tree,
)
from he_fsm.document.nodes import (
    Node,
    Pair,
    Place,
    Scalar,
    Sequence,
    as_mapping,
    describe,
    is_null,
    parse_value,
    refusal,
)


@attrs.frozen(kw_only=True)
class Additions:
    """
    Keys and entries that scenarios get in addition to those of their file.

    `start`: keys of a scenario; the file's own keys override them. Of `hosts` and `engine` the file
    may override a part. `timeline`: entries after those of the file.
    """

    start: Optional[Tree] = None
    timeline: tuple[Node, ...] = ()

    @classmethod
    def beginning(
        cls, keys: Mapping[str, Any], origin: str, timeline: tuple[Node, ...] = ()
    ) -> Additions:
        """Make additions from a scenario's keys with plain values; errors name *origin*."""
        start = as_mapping(parse_value(json.dumps(keys), origin, ""), "keys of a scenario")
        return cls(start=start, timeline=timeline)

    def added_to(self, scenario: Tree) -> Tree:
        """
        Return the scenario with the additions; its own keys override them.

        Raises:
            DocumentError: the file's `hosts` are a number, or no list.
        """
        pairs = dict(scenario.pairs)
        for key, pair in ({} if self.start is None else self.start.pairs).items():
            pairs[key] = _both(pair, pairs[key]) if key in pairs else pair
        if self.timeline:
            pairs["timeline"] = _longer(pairs.get("timeline"), self.timeline, scenario)
        return attrs.evolve(scenario, pairs=pairs)


NOTHING_ADDED = Additions()


def timeline_entry(at: str, text: str) -> Node:
    """
    Read an entry of a timeline that is not in a file.

    Args:
        at: its time, like `60s`.
        text: the rest of the entry, like `host: 1, power: off`, with or without braces.

    Raises:
        DocumentError: *text* is not YAML, or not a mapping.
    """
    origin = f"--at {at} '{text}'"
    bare = text.strip()
    if bare.startswith("{") and bare.endswith("}"):
        bare = bare[1:-1]
    what = "a fault like 'host: 1, power: off'"
    entry = as_mapping(parse_value(f"{{{bare}}}", origin, "timeline"), what)
    if "at" in entry.pairs:
        raise refusal(entry.pairs["at"].key, f"the time stands in front already: {at}")
    place = Place(origin)
    key = Scalar(place, "timeline.at", "at", "at")
    return attrs.evolve(
        entry, pairs={"at": Pair(key, parse_value(at, origin, key.path)), **entry.pairs}
    )


def _both(start: Pair, own: Pair) -> Pair:
    """Merge one key of the start with the same key of the file."""
    if start.key.label == "hosts":
        return Pair(own.key, _hosts(start.value, own.value))
    if start.key.label == "timeline" and isinstance(start.value, Sequence):
        return _longer(own, start.value.items, own.value, first=True)
    if isinstance(start.value, Tree) and isinstance(own.value, Tree):
        return Pair(
            own.key, attrs.evolve(own.value, pairs={**start.value.pairs, **own.value.pairs})
        )
    return own


def _hosts(start: Node, own: Node) -> Node:
    """Return the hosts of the start, with the file's changes to them, then the file's others."""
    if not isinstance(own, Sequence):
        what = "a list with what differs from the hosts that were captured"
        raise refusal(own, f"expected {what}, got {describe(own)}")
    captured: dict[object, Node] = {_id(node): node for node in getattr(start, "items", ())}
    hosts = dict(captured)
    for node in own.items:
        before = captured.pop(_id(node), None)
        if isinstance(before, Tree) and isinstance(node, Tree):
            hosts[_id(node)] = attrs.evolve(node, pairs={**before.pairs, **node.pairs})
        else:
            hosts[id(node)] = node
    return attrs.evolve(own, items=tuple(hosts.values()))


def _id(node: Node) -> Optional[str]:
    found = node.get("id") if isinstance(node, Tree) else None
    return found.label if isinstance(found, Scalar) else None


def _longer(
    pair: Optional[Pair], entries: Iterable[Node], scenario: Node, *, first: bool = False
) -> Pair:
    """Return a timeline with more entries; its reader will refuse a value that is no list."""
    if pair is None or is_null(pair.value):
        path = f"{scenario.path}.timeline"
        key = Scalar(scenario.place, path, "timeline", "timeline")
        return Pair(key, Sequence(scenario.place, path, tuple(entries)))
    if not isinstance(pair.value, Sequence):
        return pair
    items = (*entries, *pair.value.items) if first else (*pair.value.items, *entries)
    return Pair(pair.key, attrs.evolve(pair.value, items=items))
