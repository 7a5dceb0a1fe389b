"""The hosts that an id, a name, a range or `all` means."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from collections.abc import Mapping as StrMapping
from typing import Final, Protocol, TypeVar

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
# The ranks of keys, the most specific first; a more specific key overrides wider ones.
_SINGLE, _RANGE, _ALL = range(3)

_Name = TypeVar("_Name", str, int)


class NamedHost(Protocol):
    """What a host is known by."""

    @property
    def id(self) -> int:
        """Its host id."""

    @property
    def name(self) -> str:
        """Its name in timeline and expectations."""

    @property
    def hostname(self) -> str:
        """Its hostname, which the output shows."""


@attrs.frozen
class HostNames:
    """
    The hosts of a scenario, as (id, name), in the order of the file.

    `hostnames`: the name of each host by its hostname, which the output shows; one that two hosts
    share stands for none.
    """

    hosts: tuple[tuple[int, str], ...] = ()
    hostnames: StrMapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def of(cls, hosts: Iterable[NamedHost]) -> HostNames:
        """Make the names of a scenario's hosts."""
        known = tuple(hosts)
        count = Counter(host.hostname for host in known)
        hostnames = {host.hostname: host.name for host in known if count[host.hostname] == 1}
        return cls(tuple((host.id, host.name) for host in known), hostnames)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all hosts."""
        return tuple(name for _, name in self.hosts)

    def id_of(self, name: str) -> int:
        """Return the id that a host claims."""
        return next(host_id for host_id, known in self.hosts if known == name)

    def one(self, node: Node) -> str:
        """Return the name of the one host that is meant."""
        scalar = as_scalar(node, "a host's id or name")
        label = scalar.label
        if label in self.names:
            return label
        if label in self.hostnames:
            return self.hostnames[label]
        if _ID.fullmatch(label) is None:
            known = (*self.names, *self.hostnames)
            raise refusal(scalar, f"no host is named {label!r}{suggestion(label, known)}")
        found = [name for host_id, name in self.hosts if host_id == int(label)]
        if len(found) == 1:
            return found[0]
        if found:
            raise refusal(scalar, f"hosts {' and '.join(found)} claim id {label}: give the name")
        raise refusal(scalar, f"there is no host {label}")

    def many(self, node: Node) -> tuple[str, ...]:
        """Return the names that a value means: an id, a name, a range, `all` or a list of these."""
        if isinstance(node, Sequence):
            names = [name for item in node.items for name in self.many(item)]
            return tuple(dict.fromkeys(names))
        return self.covered(as_scalar(node, "a host's id or name, a range, all, or a list"))[1]

    def covered(self, scalar: Scalar) -> tuple[int, tuple[str, ...]]:
        """Return the rank of a key, and the names of the hosts that it means."""
        if scalar.label == ALL:
            return _ALL, self.names
        bounds = RANGE.fullmatch(scalar.label)
        if bounds is None or scalar.label in self.names or scalar.label in self.hostnames:
            return _SINGLE, (self.one(scalar),)
        low, high = _bounds(scalar, bounds)
        names = tuple(name for host_id, name in self.hosts if low <= host_id <= high)
        if not names:
            raise refusal(scalar, f"no host has an id from {low} to {high}")
        return _RANGE, names

    def slots(self, scalar: Scalar) -> tuple[int, tuple[int, ...]]:
        """Return the rank of a key, and the slots of the whiteboard that it means."""
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
        """Return the pair of each host's name, from a mapping by host."""
        return _spread(as_mapping(node, "a mapping by host id"), self.covered)

    def by_slot(self, node: Node) -> dict[int, Pair]:
        """Return the pair of each slot's number, from a mapping by slot."""
        return _spread(as_mapping(node, "a mapping by slot"), self.slots)


def _bounds(scalar: Scalar, bounds: re.Match[str]) -> tuple[int, int]:
    low, high = int(bounds.group(1)), int(bounds.group(2))
    if low > high:
        raise refusal(scalar, f"the range {scalar.label} ends before it begins")
    return low, high


def _spread(
    mapping: Mapping, covered: Callable[[Scalar], tuple[int, tuple[_Name, ...]]]
) -> dict[_Name, Pair]:
    """Return the pair of each name; an id overrides a range, a range overrides `all`."""
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
