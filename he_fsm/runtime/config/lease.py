"""The section about sanlock: where its leases are, and which daemon looks after them."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.document.forms import Integer, Number, OrNull
from he_fsm.document.mappings import written_as
from he_fsm.runtime.config.forms import LineForm, OffsetForm, PathForm
from he_fsm.runtime.leases.sanlock_settings import MIB, RUN_DIR, SanlockSettings

# sanlock's names have 48 bytes; a colon separates them on its command line.
NAME_BYTES_MAX: Final = 48
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

    def settings(self, storage: Path, vm_lock: Path, deadline_s: float) -> SanlockSettings:
        """Give what the adapter needs; *storage* is the shared folder."""
        path = self.path or storage / "sanlock"
        resource_path = self.resource_path or path
        align_bytes = self.area * MIB
        offset = self.resource_offset
        if offset is None:
            offset = self.offset + align_bytes if resource_path == path else 0
        return SanlockSettings(
            lockspace=self.lockspace,
            path=str(path),
            offset=self.offset,
            resource=self.resource,
            resource_path=str(resource_path),
            resource_offset=offset,
            sector_bytes=self.sector,
            align_bytes=align_bytes,
            run_dir=str(self.run_dir),
            clock_rate=self.clock_rate,
            vm_lock=str(vm_lock),
            # The rest is for the storage itself.
            wait_s=deadline_s / 2,
        )
