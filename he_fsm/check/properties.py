"""What is checked, in words, and how a broken property is kept."""

from __future__ import annotations

import enum
from typing import Any

import attrs


class Property(str, enum.Enum):
    """One promise; the values are the names in reports and in `--json`."""

    TWO_ENGINES = "two-engines"
    LEASE = "lease"
    AGREEMENT = "agreement"
    RECOVERY = "recovery"
    MIGRATIONS = "migrations"
    WAY_OUT = "way-out"
    MAINTENANCE = "maintenance"
    FAILED_STARTS = "failed-starts"
    EDGES = "edges"

    @property
    def meaning(self) -> str:
        """The promise in one sentence."""
        return _MEANING[self]


_MEANING = {
    Property.TWO_ENGINES: "two engines never execute at one time",
    Property.LEASE: "an engine starts only where the lease can be had, and runs only with it",
    Property.AGREEMENT: "every host with the same view names the same placement",
    Property.RECOVERY: "the engine comes back within the bound once faults stop",
    Property.MIGRATIONS: "a move goes to a living host that is fit for it, and moves end",
    Property.WAY_OUT: "no state without a way out",
    Property.MAINTENANCE: "what is in maintenance is left alone",
    Property.FAILED_STARTS: "a refused start is no failed one, and a blocked host starts nothing",
    Property.EDGES: "every edge taken is a declared one, and every declared edge is used",
}

# One action of a run: what it is, which host (0: none), and a detail.
Action = tuple[str, int, str]


@attrs.frozen
class Breach:
    """
    One broken property: `seen` in words, and how it came to that.

    `after` is the last whole state before (its key among the visited ones), `actions` what
    happened from there on; `circle` what then repeats for ever, where the property is about that.
    """

    prop: Property
    seen: str
    after: int
    actions: tuple[Action, ...]
    circle: tuple[Action, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give it as plain values."""
        return {
            "property": self.prop.value,
            "seen": self.seen,
            "after": self.after,
            "actions": [list(action) for action in self.actions],
            "circle": [list(action) for action in self.circle],
        }

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Breach:
        """Read it back."""
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
