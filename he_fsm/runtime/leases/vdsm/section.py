"""The section `vdsm`: in which storage domain of oVirt's the leases are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.document.forms import Integer, Number, OrNull, Text
from he_fsm.document.mappings import written_as
from he_fsm.errors import ConfigError
from he_fsm.runtime.config.forms import OffsetForm, PathForm
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.leases.sanlock.section import DOOM_NOTE
from he_fsm.runtime.leases.sanlock.settings import MIB, RUN_DIR, SanlockSettings

# The kind's name, and the key of its section.
NAME: Final = "vdsm"
_UUID: Final = OrNull(Text("a UUID"))
_PATH: Final = OrNull(PathForm())
# Where vdsm connects storage. Source: vdsm 4.50.7, `storage/sd.py`, `fileSD.py`, `blockSD.py`.
_MOUNTS: Final = Path("/rhev/data-center/mnt")
_IDS_IN_FILES: Final = ("*/{domain}/dom_md/ids", "glusterSD/*/{domain}/dom_md/ids")
_DEVICES: Final = Path("/dev")


@attrs.frozen(kw_only=True)
class VdsmLeasesConfig:
    """The storage domain whose lockspace vdsm joins. Used with `leases: vdsm`."""

    domain: Optional[str] = attrs.field(
        default=None,
        metadata=written_as(
            "domain",
            _UUID,
            "the storage domain, whose UUID is the lockspace's name; null: that of "
            "`storage.domain_id`",
        ),
    )
    image: Optional[str] = attrs.field(
        default=None, metadata=written_as("image", _UUID, "the image of the engine's disk")
    )
    volume: Optional[str] = attrs.field(
        default=None,
        metadata=written_as(
            "volume", _UUID, "the volume of the engine's disk, whose UUID is the lease's name"
        ),
    )
    path: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as(
            "path", _PATH, "the file or device of the host ids' leases; null: where vdsm has it"
        ),
    )
    resource_path: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as(
            "resource_path",
            _PATH,
            "that of the engine's lease; null: beside the volume, or the device `leases`",
        ),
    )
    resource_offset: Optional[int] = attrs.field(
        default=None,
        metadata=written_as(
            "resource_offset",
            OrNull(OffsetForm()),
            "where in it it begins; null: at 0; needed where the domain is a volume group, see "
            "`vdsm-client Volume getInfo`",
        ),
    )
    sector: int = attrs.field(
        default=512,
        metadata=written_as("sector", Integer(512, 4096), "the domain's block size in bytes"),
    )
    area: int = attrs.field(
        default=1, metadata=written_as("area", Integer(1, 8), "the domain's alignment in MiB")
    )
    run_dir: Path = attrs.field(
        default=Path(RUN_DIR),
        metadata=written_as("run_dir", PathForm(), "the folder of the sanlock daemon's socket"),
    )
    clock_rate: float = attrs.field(
        default=1.0,
        metadata=written_as(
            "clock_rate",
            Number(minimum=1),
            "how many seconds the daemon's clock counts in one; above 1 in rehearsals only",
        ),
    )


def section_of(config: Config) -> VdsmLeasesConfig:
    """
    Return the section of a configuration.

    Raises:
        ConfigError: the leases are not vdsm's.
    """
    if config.leases != NAME:
        msg = f"the leases are {config.leases}, not vdsm's"
        raise ConfigError(msg)
    section: VdsmLeasesConfig = config.others.get(NAME, VdsmLeasesConfig())
    return section


def domain_of(config: Config) -> str:
    """Return the storage domain's UUID; empty: nothing says it."""
    return section_of(config).domain or config.storage.domain_id or ""


def settings_of(config: Config) -> SanlockSettings:
    """
    Return where the leases are.

    Raises:
        ConfigError: vdsm has not connected the domain, so that its place is not known.
    """
    section, domain = section_of(config), domain_of(config)
    ids = section.path or next(_ids_of(domain), None)
    if ids is None:
        msg = (
            f"the storage domain {domain} is not connected on this host: run 'hosted-engine "
            "--connect-storage', or set vdsm.path and vdsm.resource_path"
        )
        raise ConfigError(msg)
    volume = section.volume or ""
    return SanlockSettings(
        lockspace=domain,
        path=str(ids),
        resource=volume,
        resource_path=str(section.resource_path or _lease_beside(ids, section.image, volume)),
        resource_offset=section.resource_offset or 0,
        sector_bytes=section.sector,
        align_bytes=section.area * MIB,
        run_dir=str(section.run_dir),
        clock_rate=section.clock_rate,
        vm_lock=str(config.state_dir / "engine.lock"),
        vm_pid_file=str(config.hypervisor.pid_file or ""),
        doom_note=str(config.run_dir / DOOM_NOTE),
        # The rest of the storage's deadline is for the storage itself.
        wait_s=config.storage.deadline_s / 2,
    )


def _ids_of(domain: str) -> Iterator[Path]:
    """Yield where a connected domain has the host ids' leases."""
    for pattern in _IDS_IN_FILES:
        yield from sorted(_MOUNTS.glob(pattern.format(domain=domain)))
    device = _DEVICES / domain / "ids"
    if device.exists():
        yield device


def _lease_beside(ids: Path, image: Optional[str], volume: str) -> Path:
    """Return where the lease of a volume is, in a domain whose host ids are at *ids*."""
    if ids.is_relative_to(_DEVICES):
        return ids.with_name("leases")
    return ids.parents[1] / "images" / (image or "") / f"{volume}.lease"
