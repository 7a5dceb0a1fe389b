"""What is added to the scenarios of a file before they are read: a start, more of a timeline."""

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
    What scenarios get beside what their file says.

    `start`: keys of a scenario, for what the file leaves out; of `hosts` and `engine` the file may
    say a part. `timeline`: entries that come behind the file's.
    """

    start: Optional[Tree] = None
    timeline: tuple[Node, ...] = ()

    @classmethod
    def beginning(
        cls, keys: Mapping[str, Any], origin: str, timeline: tuple[Node, ...] = ()
    ) -> Additions:
        """Make additions of a scenario's keys as plain values; errors name *origin*."""
        start = as_mapping(parse_value(json.dumps(keys), origin, ""), "keys of a scenario")
        return cls(start=start, timeline=timeline)

    def added_to(self, scenario: Tree) -> Tree:
        """
        Give the scenario with everything; what it says itself goes before.

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
    Read an entry of a timeline that stands in no file.

    Args:
        at: its time, like `60s`.
        text: the rest of it, like `host: 1, power: off`, with or without braces.

    Raises:
        DocumentError: it is no YAML, or no mapping.
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
    """Put one key of a start and of a file together."""
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
    """Give the hosts of the start, each with what the file says of it, then the file's others."""
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
    """Give a timeline with more entries; what is no list is left for its reader to refuse."""
    if pair is None or is_null(pair.value):
        path = f"{scenario.path}.timeline"
        key = Scalar(scenario.place, path, "timeline", "timeline")
        return Pair(key, Sequence(scenario.place, path, tuple(entries)))
    if not isinstance(pair.value, Sequence):
        return pair
    items = (*entries, *pair.value.items) if first else (*pair.value.items, *entries)
    return Pair(pair.key, attrs.evolve(pair.value, items=items))
