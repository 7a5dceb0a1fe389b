"""The back ends: what plays leases and VM in a rehearsal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from he_fsm.lab.embedded import EmbeddedLab
from he_fsm.lab.lab import Lab
from he_fsm.lab.libvirt import needs as libvirt_needs
from he_fsm.lab.sanlock import needs as sanlock_needs
from he_fsm.lab.spec import LabSpec
from he_fsm.rehearse.cannot import cannot, libvirt_cannot, sanlock_cannot, vdsm_cannot
from he_fsm.rehearse.played import notices
from he_fsm.runtime import registry
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
    make: Callable[[LabSpec, Path], Lab]


EMBEDDED: Final = Backend(
    name="embedded",
    missing=lambda _: [],
    cannot=lambda scenario, _: cannot(scenario),
    notices=lambda _: [],
    make=EmbeddedLab,
)


def _sanlock_lab(spec: LabSpec, folder: Path) -> Lab:
    # Needs the extra `qemu`.
    from he_fsm.lab.qemu.lab import QemuLab  # noqa: PLC0415

    return QemuLab(spec, folder)


SANLOCK: Final = Backend(
    name="sanlock",
    missing=sanlock_needs.missing,
    cannot=sanlock_cannot,
    notices=notices,
    make=_sanlock_lab,
)


def _libvirt_lab(spec: LabSpec, folder: Path) -> Lab:
    # Needs the extras `libvirt` and `qemu`.
    from he_fsm.lab.libvirt.lab import LibvirtLab  # noqa: PLC0415

    return LibvirtLab(spec, folder)


LIBVIRT: Final = Backend(
    name="libvirt",
    missing=libvirt_needs.missing,
    cannot=libvirt_cannot,
    notices=notices,
    make=_libvirt_lab,
)


def _vdsm_lab(spec: LabSpec, folder: Path) -> Lab:
    # Needs the extra `qemu`.
    from he_fsm.lab.ovirt.lab import OvirtLab  # noqa: PLC0415

    return OvirtLab(spec, folder)


VDSM: Final = Backend(
    name="vdsm",
    missing=sanlock_needs.missing,
    cannot=vdsm_cannot,
    notices=notices,
    make=_vdsm_lab,
)


def backend_names() -> tuple[str, ...]:
    """Return the back ends that are installed, those of other packages too."""
    return registry.names(registry.REHEARSALS)


def backend_of(name: str) -> Backend:
    """Return the back end of a name; raises `ConfigError` where there is none."""
    backend: Backend = registry.load(registry.REHEARSALS, name)
    return backend
