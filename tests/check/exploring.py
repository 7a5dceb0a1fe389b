"""Exploring within a few kinds of faults, for tests."""

from __future__ import annotations

from typing import Any

from he_fsm.check.expand import Bounds
from he_fsm.check.properties import Property
from he_fsm.check.result import Verdict, verdicts
from he_fsm.check.search.explore import explore
from he_fsm.check.search.explored import Explored, begun


def explored(*kinds: str, workers: int = 1, **bounds: Any) -> Explored:
    """Explore all within the bounds; with *kinds* only these kinds of faults."""
    chosen = frozenset(kinds) or None
    found = begun(Bounds(**{"hosts": 2, "faults": 1, "kinds": chosen, **bounds}))
    explore(found, workers=workers)
    return found


def judged(found: Explored) -> dict[Property, Verdict]:
    """Return the verdicts by property."""
    return {verdict.prop: verdict for verdict in verdicts(found)}


def broken(found: Explored) -> set[Property]:
    """Return the properties that are broken."""
    return {prop for prop, verdict in judged(found).items() if verdict.held is False}
