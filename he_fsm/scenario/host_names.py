"""Which hosts an id, a name, a range or `all` means."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

import attrs

from he_fsm.document.nodes import (
    Mapping,
    Node,
    Pair,
    Scalar,
    Sequence,
    as_mapping,
    as_scalar,
    describe,
    refusal,
    suggestion,
)
from he_fsm.metadata.layout import HOST_ID_MAX

ALL: Final = "all"
# The slot of the whiteboard that belongs to the whole cluster.
GLOBAL_SLOT: Final = 0
RANGE: Final = re.compile(r"([0-9]{1,9})\s*-\s*([0-9]{1,9})")
_ID: Final = re.compile("[0-9]{1,9}")
# What a key covers, the most particular first: it beats wider keys beside it.
_SINGLE, _RANGE, _ALL = range(3)

_Name = TypeVar("_Name", str, int)


@attrs.frozen
class HostNames:
    """The hosts of a scenario, as (id, name), in the order of the file."""

    hosts: tuple[tuple[int, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all hosts."""
        return tuple(name for _, name in self.hosts)

    def id_of(self, name: str) -> int:
        """Give the id that a host claims."""
        return next(host_id for host_id, known in self.hosts if known == name)

    def one(self, node: Node) -> str:
        """Give the name of the one host that is meant."""
        scalar = as_scalar(node, "a host's id or name")
        label = scalar.label
        if label in self.names:
            return label
        if _ID.fullmatch(label) is None:
            raise refusal(scalar, f"no host is named {label!r}{suggestion(label, self.names)}")
        found = [name for host_id, name in self.hosts if host_id == int(label)]
        if len(found) == 1:
            return found[0]
        if found:
            raise refusal(scalar, f"hosts {' and '.join(found)} claim id {label}: give the name")
        raise refusal(scalar, f"there is no host {label}")

    def many(self, node: Node) -> tuple[str, ...]:
        """Give the names that a value means: an id, a name, a range, `all` or a list of these."""
        if isinstance(node, Sequence):
            names = [name for item in node.items for name in self.many(item)]
            return tuple(dict.fromkeys(names))
        return self.covered(as_scalar(node, "a host's id or name, a range, all, or a list"))[1]

    def covered(self, scalar: Scalar) -> tuple[int, tuple[str, ...]]:
        """Give how particular a key is, and the names of the hosts that it means."""
        if scalar.label == ALL:
            return _ALL, self.names
        bounds = RANGE.fullmatch(scalar.label)
        if bounds is None or scalar.label in self.names:
            return _SINGLE, (self.one(scalar),)
        low, high = _bounds(scalar, bounds)
        names = tuple(name for host_id, name in self.hosts if low <= host_id <= high)
        if not names:
            raise refusal(scalar, f"no host has an id from {low} to {high}")
        return _RANGE, names

    def slots(self, scalar: Scalar) -> tuple[int, tuple[int, ...]]:
        """Give how particular a key is, and the slots of the whiteboard that it means."""
        label = scalar.label
        if _ID.fullmatch(label) is not None and label not in self.names:
            if int(label) > HOST_ID_MAX:
                raise refusal(scalar, f"slots are numbered from 0 to {HOST_ID_MAX}")
            return _SINGLE, (int(label),)
        bounds = RANGE.fullmatch(label)
        if bounds is not None and label not in self.names:
            low, high = _bounds(scalar, bounds)
            return _RANGE, tuple(range(low, min(high, HOST_ID_MAX) + 1))
        rank, names = self.covered(scalar)
        return rank, tuple(dict.fromkeys(self.id_of(name) for name in names))

    def by_host(self, node: Node) -> dict[str, Pair]:
        """Spread a mapping by host over the hosts' names."""
        return _spread(as_mapping(node, "a mapping by host id"), self.covered)

    def by_slot(self, node: Node) -> dict[int, Pair]:
        """Spread a mapping by slot over the slots' numbers."""
        return _spread(as_mapping(node, "a mapping by slot"), self.slots)


def _bounds(scalar: Scalar, bounds: re.Match[str]) -> tuple[int, int]:
    low, high = int(bounds.group(1)), int(bounds.group(2))
    if low > high:
        raise refusal(scalar, f"the range {scalar.label} ends before it begins")
    return low, high


def _spread(
    mapping: Mapping, covered: Callable[[Scalar], tuple[int, tuple[_Name, ...]]]
) -> dict[_Name, Pair]:
    """Give each name its pair: an id beats a range, a range beats `all`."""
    if not mapping.pairs:
        raise refusal(mapping, f"expected at least one host id, got {describe(mapping)} with none")
    ranks: dict[_Name, int] = {}
    chosen: dict[_Name, Pair] = {}
    for pair in mapping.pairs.values():
        rank, names = covered(pair.key)
        for name in names:
            if name in ranks and ranks[name] == rank:
                other = chosen[name].key.label
                raise refusal(pair.key, f"host {name} is already meant by the key {other}")
            if rank < ranks.get(name, _ALL + 1):
                ranks[name] = rank
                chosen[name] = pair
    return chosen
