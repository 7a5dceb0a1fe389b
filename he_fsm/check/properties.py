"""The properties that are checked, and the record of a broken one."""

from __future__ import annotations

import enum
from typing import Any

import attrs


class Property(str, enum.Enum):
    """One promise; the values are the names in reports and in `--json`."""

    TWO_ENGINES = "two-engines"
    LEASE = "lease"
    AGREEMENT = "agreement"
    LIVENESS = "liveness"
    RECOVERY = "recovery"
    MIGRATIONS = "migrations"
    WAY_OUT = "way-out"
    MAINTENANCE = "maintenance"
    FAILED_STARTS = "failed-starts"
    NO_NEEDLESS_WORK = "no-needless-work"
    EDGES = "edges"

    @property
    def meaning(self) -> str:
        """The promise in one sentence."""
        return _MEANING[self]


_MEANING = {
    Property.TWO_ENGINES: "two engines never execute at one time",
    Property.LEASE: "an engine starts only where the lease can be had, and runs only with it",
    Property.AGREEMENT: "every host with the same view names the same placement",
    Property.LIVENESS: "who writes is taken for alive, and nobody else",
    Property.RECOVERY: "the engine comes back within the bound once faults stop",
    Property.MIGRATIONS: "a move goes to a living host that is fit for it, and moves end",
    Property.WAY_OUT: "no state without a way out",
    Property.MAINTENANCE: "what is in maintenance is left alone",
    Property.FAILED_STARTS: "a refused start is no failed one, and a blocked host starts nothing",
    Property.NO_NEEDLESS_WORK: "nothing is started, stopped or moved that nothing calls for",
    Property.EDGES: "every edge taken is a declared one, and every declared edge is used",
}

# One action of a run: its kind, its host (0: none), and a detail.
Action = tuple[str, int, str]


@attrs.frozen
class Breach:
    """
    One broken property: what was seen, in words, and the actions that led to it.

    `after`: the key of the last visited state before it. `actions`: the actions from there on.
    `circle`: the actions that then repeat for ever, if the property is about such a circle.
    """

    prop: Property
    seen: str
    after: int
    actions: tuple[Action, ...]
    circle: tuple[Action, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the breach as plain values."""
        return {
            "property": self.prop.value,
            "seen": self.seen,
            "after": self.after,
            "actions": [list(action) for action in self.actions],
            "circle": [list(action) for action in self.circle],
        }

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Breach:
        """Make a breach from plain values."""
        return cls(
            Property(plain["property"]),
            str(plain["seen"]),
            int(plain["after"]),
            tuple(_action(each) for each in plain["actions"]),
            tuple(_action(each) for each in plain["circle"]),
        )


def _action(plain: list[Any]) -> Action:
    kind, host, detail = plain
    return str(kind), int(host), str(detail)
