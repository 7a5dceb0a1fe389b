"""
A host's own way to the shared folder.

For root it is a pass-through (bindfs) that can die or hang alone. For others it is a symbolic link:
sanlock and QEMU would keep their open files whatever became of it, so it can't be broken.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Optional, Union

from he_fsm.errors import HeFsmError
from he_fsm.lab.host import ENDS_WITHIN_S

_MOUNTED_WITHIN_S: Final = 5.0
_LOOK_S: Final = 0.005
_MOUNTS: Final = Path("/proc/self/mounts")
NO_MOUNT: Final = (
    "only root can break one host's storage alone: sanlock keeps its open file, whatever becomes of"
    " the path to it"
)


def is_mounted(point: Path) -> bool:
    """Whether something is mounted there; nobody looks below it, where one might wait for ever."""
    places = [line.split(" ")[1] for line in _MOUNTS.read_text().splitlines()]
    # Spaces and the like are written as numbers there.
    return str(point).replace(" ", "\\040") in places


def trial() -> str:
    """Mount a folder and unmount it; give why that fails, nothing where it works."""
    with tempfile.TemporaryDirectory(prefix="he-fsm-mount-") as name:
        shared = Path(name) / "shared"
        shared.mkdir()
        mount = Mount(shared, Path(name) / "point")
        try:
            mount.mount()
        except HeFsmError:
            said = (Path(name) / "point.log").read_text(encoding="utf-8", errors="replace").strip()
            return said.splitlines()[-1] if said else "bindfs ends without a word"
        mount.unmount()
    return ""


class Mount:
    """
    The folder *shared*, seen at *point*.

    Nothing here reads below *point*: such a read may wait for ever.
    """

    def __init__(self, shared: Path, point: Path) -> None:
        """Make the mount point; nothing is mounted yet."""
        point.mkdir()
        self.process: Optional[subprocess.Popen[bytes]] = None
        self._shared = shared
        self._point = point

    def mount(self) -> None:
        """Mount it, and wait until that is done; raises `HeFsmError` where it fails."""
        with self._point.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - a list of words, and no shell
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._point.parent,
                start_new_session=True,
            )
        until = time.monotonic() + _MOUNTED_WITHIN_S
        while not is_mounted(self._point):
            if self.process.poll() is not None or time.monotonic() > until:
                self.unmount()
                msg = f"{self._point} can't be mounted; see {self._point.with_suffix('.log')}"
                raise HeFsmError(msg)
            time.sleep(_LOOK_S)

    def command(self) -> list[str]:
        """Return the words of the process that serves the mount until it is unmounted."""
        # Without direct_io, what others write would be seen a second later.
        return ["bindfs", "-f", "-o", "direct_io", str(self._shared), str(self._point)]

    def cut(self) -> None:
        """Make every access fail at once (ENOTCONN)."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(ENDS_WITHIN_S)

    def hang(self) -> None:
        """Make every access hang."""
        self._signal(signal.SIGSTOP)

    def restore(self) -> None:
        """Restore access; files that were open when it was cut stay broken."""
        if self.process is not None and self.process.poll() is None:
            self._signal(signal.SIGCONT)
        else:
            self.unmount()
            self.mount()

    def unmount(self) -> None:
        """End it, and leave nothing mounted."""
        self.cut()
        while is_mounted(self._point):
            done = subprocess.run(  # noqa: S603 - a list of words, and no shell
                ["umount", "-l", str(self._point)],  # noqa: S607 - the system's
                capture_output=True,
                check=False,
                text=True,
            )
            if done.returncode:
                msg = f"{self._point} can't be unmounted: {done.stderr.strip()}"
                raise HeFsmError(msg)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)


class Link:
    """The folder *shared*, seen at *point*, for who may not mount; it is always well."""

    process = None

    def __init__(self, shared: Path, point: Path) -> None:
        """Link nothing yet."""
        self._shared = shared
        self._point = point

    def mount(self) -> None:
        """Make the link."""
        self._point.symlink_to(self._shared)

    def cut(self) -> None:
        """Refuse: see `sanlock_needs.cannot`."""
        raise HeFsmError(NO_MOUNT)

    def hang(self) -> None:
        """Refuse, as `cut` does."""
        raise HeFsmError(NO_MOUNT)

    def restore(self) -> None:
        """Do nothing: it is well."""

    def unmount(self) -> None:
        """Remove the link."""
        self._point.unlink(missing_ok=True)


Way = Union[Mount, Link]


def can_mount() -> bool:
    """Whether this user may mount each host's own way to the storage."""
    return os.geteuid() == 0


def way(shared: Path, point: Path) -> Way:
    """Return a host's way to the folder *shared*; nothing is there yet."""
    return Mount(shared, point) if can_mount() else Link(shared, point)
