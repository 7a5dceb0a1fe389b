"""The embedded engine's lease as data."""

from __future__ import annotations

from pathlib import Path

from he_fsm.runtime.leases.files.records import ENGINE_FILE
from he_fsm.runtime.ports import LeasePlace


def place_in(folder: Path) -> LeasePlace:
    """Return where the engine's lease of a lockspace is."""
    path = str(folder / ENGINE_FILE)
    return LeasePlace(manager="embedded", lockspace=str(folder), resource="engine", path=path)
