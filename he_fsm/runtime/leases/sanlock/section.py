"""The section `sanlock`: where sanlock's leases are, and which daemon looks after them."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.document.forms import Integer, Number, OrNull
from he_fsm.document.mappings import written_as
from he_fsm.errors import ConfigError
from he_fsm.runtime.config.forms import LineForm, OffsetForm, PathForm
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.leases.sanlock.settings import MIB, RUN_DIR, SanlockSettings

# The kind's name, and the key of its section.
NAME: Final = "sanlock"
# The file in `run_dir` that says that the watchdog is about to reset this host.
DOOM_NOTE: Final = "doom.json"
# sanlock's names have room for 48 bytes, but no end then: some calls return such a name longer than
# it is, and libvirt refuses it. A colon separates names on its command line.
NAME_BYTES_MAX: Final = 47
_NAME: Final = LineForm("a name", ":")
_PATH: Final = OrNull(PathForm())


@attrs.frozen(kw_only=True)
class SanlockConfig:
    """Where sanlock keeps the host ids' leases and the engine's. Used with `leases: sanlock`."""

    lockspace: str = attrs.field(
        default="he-fsm",
        metadata=written_as("lockspace", _NAME, "the lockspace's name, the same on every host"),
    )
    path: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as(
            "path",
            _PATH,
            "the file or block device of the host ids' leases; null: `sanlock` in `storage.path`",
        ),
    )
    offset: int = attrs.field(
        default=0,
        metadata=written_as(
            "offset", OffsetForm(), "where in it they begin, in bytes, a multiple of `area`"
        ),
    )
    resource: str = attrs.field(
        default="engine", metadata=written_as("resource", _NAME, "the name of the engine's lease")
    )
    resource_path: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as(
            "resource_path", _PATH, "its file or block device; null: that of the host ids"
        ),
    )
    resource_offset: Optional[int] = attrs.field(
        default=None,
        metadata=written_as(
            "resource_offset",
            OrNull(OffsetForm()),
            "where in it it begins; null: right behind the host ids' leases, or at 0",
        ),
    )
    sector: int = attrs.field(
        default=512,
        metadata=written_as(
            "sector", Integer(512, 4096), "the storage's sectors, 512 or 4096 bytes"
        ),
    )
    area: int = attrs.field(
        default=1,
        metadata=written_as(
            "area",
            Integer(1, 8),
            "the MiB of an area of leases: 1; with sectors of 4096 bytes 1, 2, 4 or 8, for up to"
            " 250, 500, 1000 or 2000 host ids",
        ),
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


def section_of(config: Config) -> SanlockConfig:
    """
    Return the section of a configuration.

    Raises:
        ConfigError: the leases are not sanlock's.
    """
    if config.leases != NAME:
        msg = f"the leases are {config.leases}, not sanlock's"
        raise ConfigError(msg)
    section: SanlockConfig = config.others.get(NAME, SanlockConfig())
    return section


def settings_of(config: Config) -> SanlockSettings:
    """
    Return what the adapter needs.

    Raises:
        ConfigError: the leases are not sanlock's.
    """
    section = section_of(config)
    path = section.path or config.storage.path / "sanlock"
    resource_path = section.resource_path or path
    align_bytes = section.area * MIB
    offset = section.resource_offset
    if offset is None:
        offset = section.offset + align_bytes if resource_path == path else 0
    return SanlockSettings(
        lockspace=section.lockspace,
        path=str(path),
        offset=section.offset,
        resource=section.resource,
        resource_path=str(resource_path),
        resource_offset=offset,
        sector_bytes=section.sector,
        align_bytes=align_bytes,
        run_dir=str(section.run_dir),
        clock_rate=section.clock_rate,
        # Not in `run_dir`, which may be removed when a daemon ends while its VM runs on.
        vm_lock=str(config.state_dir / "engine.lock"),
        vm_pid_file=str(config.hypervisor.pid_file or ""),
        # In `run_dir`: it is about this boot alone.
        doom_note=str(config.run_dir / DOOM_NOTE),
        # The rest of the storage's deadline is for the storage itself.
        wait_s=config.storage.deadline_s / 2,
    )
