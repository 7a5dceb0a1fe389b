"""Where sanlock's leases are, and which daemon looks after them."""

from __future__ import annotations

import json
from typing import Final, Optional

import attrs
import cattrs

from he_fsm.errors import LockspaceError

MIB: Final = 1 << 20
# Where distributions' daemons have their socket.
RUN_DIR: Final = "/run/sanlock"
# What tells a library and a command which daemon is meant; libsanlock reads it once.
RUN_DIR_VARIABLE: Final = "SANLOCK_RUN_DIR"
# The areas that sanlock can work with, by (sector, area) in bytes, and how many host ids each has.
# Source: sanlock(8), "valid sector/align size combinations".
HOST_IDS: Final = {
    (512, MIB): 2000,
    (4096, MIB): 250,
    (4096, 2 * MIB): 500,
    (4096, 4 * MIB): 1000,
    (4096, 8 * MIB): 2000,
}


@attrs.frozen(kw_only=True)
class SanlockSettings:
    """
    One lockspace and the engine's lease in it.

    The host ids' leases are `align_bytes` from `offset` of `path` on, the engine's as many from
    `resource_offset` of `resource_path`; both are files or block devices. `run_dir` is the folder
    of the daemon's socket. `vm_lock` is a file of this host's own that the engine VM's process
    holds locked, see `VmLock`; `vm_pid_file` one in which another daemon notes that process, for a
    VM that holds no lock (libvirt's; empty: there is none); `doom_note` one in which it is noted,
    for this boot alone, that the watchdog is about to reset this host (see `DoomWatch`; empty:
    nowhere). `clock_rate` is how many
    seconds the daemon's clock counts in one of ours: 1, save in rehearsals. `wait_s`: a call that
    takes longer says that it does, and an answer of the daemon's that does is not waited for.
    """

    lockspace: str
    path: str
    resource: str
    resource_path: str
    vm_lock: str
    offset: int = 0
    resource_offset: int = MIB
    sector_bytes: int = 512
    align_bytes: int = MIB
    run_dir: str = RUN_DIR
    doom_note: str = ""
    vm_pid_file: str = ""
    clock_rate: float = 1.0
    wait_s: float = 1.0

    @property
    def disks(self) -> list[tuple[str, int]]:
        """Where the engine's lease is, as sanlock's module wants it."""
        return [(self.resource_path, self.resource_offset)]

    @property
    def host_id_max(self) -> Optional[int]:
        """The highest host id that there is room for; None: sanlock has no such areas."""
        return HOST_IDS.get((self.sector_bytes, self.align_bytes))

    def daemon_io_timeout(self, io_timeout_s: float) -> int:
        """
        Return the I/O timeout as the daemon counts it: whole seconds of its own clock.

        Raises:
            LockspaceError: it is no whole number of them, or less than one.
        """
        seconds = io_timeout_s * self.clock_rate
        if round(seconds) < 1 or abs(seconds - round(seconds)) > 1e-6:
            msg = f"sanlock's I/O timeout is a whole number of seconds, 1 or more, not {seconds:g}"
            raise LockspaceError(msg)
        return round(seconds)

    def to_text(self) -> str:
        """Return them as one word of a command line."""
        return json.dumps(cattrs.unstructure(self))

    @classmethod
    def from_text(cls, text: str) -> SanlockSettings:
        """Read what `to_text` gave."""
        return cattrs.structure(json.loads(text), cls)
