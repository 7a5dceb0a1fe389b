"""The table of what was measured, each figure beside its limit."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Sequence
from typing import NamedTuple, Optional

LESS, MORE, NEITHER = "less", "more", "neither"


class Row(NamedTuple):
    """One figure."""

    what: str
    # None: it can't be had here.
    found: Optional[float]
    # None: there is none.
    limit: Optional[float]
    unit: str
    # Which is better; neither, where a figure only says how large something is.
    better: str = LESS


def is_compiled() -> bool:
    """Whether the package that is measured is the compiled build: its modules are libraries."""
    return str(importlib.import_module("he_fsm.step").__file__).endswith(".so")


def show(rows: Sequence[Row]) -> bool:
    """Print the table; say whether every limit holds."""
    build = ", compiled" if is_compiled() else ""
    print(f"{platform.node()}, {platform.machine()}, Python {platform.python_version()}{build}\n")
    width = max(40, *(len(row.what) for row in rows))
    print(f"{'what':<{width}} {'found':>12} {'limit':>14}")
    are_held = True
    for what, found, limit, unit, better in rows:
        if found is None:
            print(f"{what:<{width}} {'-':>12}")
            continue
        if limit is None:
            print(f"{what:<{width}} {found:>12.4g} {'':>14} {unit}")
            continue
        holds = found >= limit if better == MORE else found <= limit
        are_held = are_held and holds
        bound = f"{'>=' if better == MORE else '<='} {limit:g}"
        print(f"{what:<{width}} {found:>12.4g} {bound:>14} {unit}  {'ok' if holds else 'NOT MET'}")
    return are_held
