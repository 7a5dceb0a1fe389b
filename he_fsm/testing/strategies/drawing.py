"""What all strategies are made with: whole values, and times on a grid."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, TypeVar, Union

import attrs
from hypothesis import strategies as st

from he_fsm.metadata.record import HostRecord, SlotProblem

T = TypeVar("T")
Draw = Callable[[st.SearchStrategy[Any]], Any]
Content = Union[HostRecord, SlotProblem, None]

GRID_S = 0.25
# The stagger of equal hosts is a part of this: a third and a half of it are on the grid too.
STAGGER_UNIT_S = 6 * GRID_S


@functools.cache
def _fields_of(of: Callable[..., Any]) -> frozenset[str]:
    if isinstance(of, type) and attrs.has(of):
        return frozenset(each.name for each in attrs.fields(of))
    return frozenset(inspect.signature(of).parameters)


def whole(of: Callable[..., T], **values: Any) -> T:
    """Build *of* from a value for each of its fields; none may be left out."""
    known = _fields_of(of)
    if known != set(values):
        msg = f"{of!r}: not the fields that it has: {sorted(known ^ set(values))}"
        raise TypeError(msg)
    return of(**values)


def steps(least_s: float, most_s: float) -> st.SearchStrategy[float]:
    """Return times on the grid, both ends included."""
    first, last = round(least_s / GRID_S), round(most_s / GRID_S)
    return st.integers(first, last).map(lambda n: n * GRID_S)


booleans = st.booleans()
# One of eight.
one_in_eight = st.integers(0, 7).map(lambda n: n == 7)
seconds = steps(GRID_S, 10)
seconds_or_none = steps(0, 5)
# A number from 0 to 7, for what is not drawn evenly.
eighths = st.integers(0, 7)
