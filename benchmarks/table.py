"""The table of what was measured, each figure beside its limit."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Sequence

# What, the figure (None: it can't be had here), its limit (None: there is none; negative: a least,
# not a most), its unit.
Row = tuple[str, "float | None", "float | None", str]


def show(rows: Sequence[Row]) -> bool:
    """Print the table; say whether every limit holds."""
    # The compiled build's modules are shared objects.
    is_compiled = str(importlib.import_module("he_fsm.step").__file__).endswith(".so")
    build = ", compiled" if is_compiled else ""
    print(f"{platform.node()}, {platform.machine()}, Python {platform.python_version()}{build}\n")
    width = max(40, *(len(row[0]) for row in rows))
    print(f"{'what':<{width}} {'found':>12} {'limit':>14}")
    are_held = True
    for what, found, limit, unit in rows:
        if found is None:
            print(f"{what:<{width}} {'-':>12}")
            continue
        if limit is None:
            print(f"{what:<{width}} {found:>12.4g} {'':>14} {unit}")
            continue
        holds = found >= -limit if limit < 0 else found <= limit
        are_held = are_held and holds
        bound = f">= {-limit:g}" if limit < 0 else f"<= {limit:g}"
        print(f"{what:<{width}} {found:>12.4g} {bound:>14} {unit}  {'ok' if holds else 'NOT MET'}")
    return are_held
