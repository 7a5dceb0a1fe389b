"""The back ends: what plays leases and VM in a rehearsal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from he_fsm.rehearse import faults, played, sanlock_needs
from he_fsm.rehearse.embedded import EmbeddedLab
from he_fsm.rehearse.lab import Lab
from he_fsm.scenario.model import Scenario


@attrs.frozen(kw_only=True)
class Backend:
    """
    One back end.

    `missing` gives a sentence for each thing that this machine lacks for it, at a speed, and
    `cannot` one for each thing in a scenario that it can't do; `notices` says what is less real
    on this machine than the back end can have it; `make` makes the cluster.
    """

    name: str
    missing: Callable[[float], list[str]]
    cannot: Callable[[Scenario, float], list[str]]
    notices: Callable[[Scenario], list[str]]
    make: Callable[[Scenario, float, Path], Lab]


EMBEDDED: Final = Backend(
    name="embedded",
    missing=lambda _: [],
    cannot=lambda scenario, _: faults.cannot(scenario),
    notices=lambda _: [],
    make=EmbeddedLab,
)


def _sanlock_lab(scenario: Scenario, speed: float, folder: Path) -> Lab:
    # Needs the extra `qemu`.
    from he_fsm.rehearse.sanlock_lab import SanlockLab  # noqa: PLC0415

    return SanlockLab(scenario, speed, folder)


SANLOCK: Final = Backend(
    name="sanlock",
    missing=sanlock_needs.missing,
    cannot=sanlock_needs.cannot,
    notices=played.notices,
    make=_sanlock_lab,
)
BACKENDS: Final = {each.name: each for each in (EMBEDDED, SANLOCK)}
