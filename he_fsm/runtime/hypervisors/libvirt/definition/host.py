"""What this host says besides the domain: where files are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Optional

_MOUNTS: Final = Path("/proc/self/mountinfo")
# File systems that are one host's own, whatever they lie on but a cluster's block device.
_LOCAL: Final = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay")


def locality(shared: Path) -> Callable[[str], Optional[str]]:
    """
    Return what says of a path what makes it this host's alone; None: nothing is known to.

    What lies on the same file system as *shared*, which all hosts have, is no host's alone.
    """
    shared_device = _device_of(shared)

    def local_to(path: str) -> Optional[str]:
        device = _device_of(Path(path))
        if device is None or device == shared_device:
            return None
        kind = _file_systems().get(device)
        return f"a file system of this host alone ({kind})" if kind in _LOCAL else None

    return local_to


def _device_of(path: Path) -> Optional[str]:
    """Return the device's numbers of the file system of *path*, as the kernel lists them."""
    try:
        device = path.stat().st_dev
    except OSError:
        return None
    return f"{os.major(device)}:{os.minor(device)}"


def _file_systems() -> dict[str, str]:
    """Return the kind of the file system of each device. Source: proc(5), mountinfo."""
    found = {}
    for line in _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines():
        head, _, tail = line.partition(" - ")
        found[head.split()[2]] = tail.split()[0]
    return found
