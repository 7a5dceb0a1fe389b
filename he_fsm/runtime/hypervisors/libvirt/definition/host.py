"""What this host says besides the domain: libvirt's driver configuration, and where files are."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, Optional

from he_fsm.runtime.ports import Finding

_LOCK_MANAGER: Final = re.compile(r'^\s*lock_manager\s*=\s*"([^"]*)"', re.MULTILINE)
_WANTED: Final = "sanlock"
_MEND: Final = (
    'install libvirt-sanlock, write lock_manager = "sanlock" in {conf}, and restart libvirtd'
)
_MOUNTS: Final = Path("/proc/self/mountinfo")
# File systems that are one host's own, whatever they lie on but a cluster's block device.
_LOCAL: Final = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay")


def lock_manager_of(text: str) -> str:
    """Return the lock manager that a qemu.conf sets; empty: none, which is libvirt's own choice."""
    found = _LOCK_MANAGER.findall(text)
    return str(found[-1]) if found else ""


def driver_findings(conf: Path, *, is_plugin: bool = True) -> tuple[Finding, ...]:
    """
    Return what is wrong with libvirt's lock manager, as far as its file tells.

    Where a holder takes the lease, the plug-in is not needed, and in the way of a domain without a
    lease.

    libvirt's interface does not tell it. Who may not read the file learns it at the first start:
    the agent lets no domain execute whose process sanlock does not know.
    """
    try:
        manager = lock_manager_of(conf.read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        manager = ""
    except OSError as error:
        if not is_plugin:
            return ()
        what = (
            f"{conf} can't be read ({error.strerror}): whether libvirt takes leases shows at the "
            "first start, which ends at once where it does not"
        )
        return (Finding(what=what, mend=_MEND.format(conf=conf), is_fatal=False),)
    if not is_plugin:
        return (_in_the_way(conf),) if manager == _WANTED else ()
    if manager == _WANTED:
        return ()
    has = f'has lock_manager = "{manager}"' if manager else "sets no lock_manager"
    what = f"{conf} {has}: libvirt would start the domain without the engine's lease"
    return (Finding(what=what, mend=_MEND.format(conf=conf)),)


def _in_the_way(conf: Path) -> Finding:
    what = (
        f'{conf} has lock_manager = "{_WANTED}", though a holder takes the lease: libvirt starts '
        "no domain with a writable disk and no <lease>, unless require_lease_for_disks = 0 is set"
    )
    mend = f"remove lock_manager from {conf} and restart libvirtd; or write lease: plugin"
    return Finding(what=what, mend=mend, is_fatal=False)


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
