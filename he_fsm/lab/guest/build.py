"""
A tiny guest: the distribution's kernel, busybox, and a few scripts; it stands for the engine.

It serves the engine's health page on port 80, answers the power button, breaks when it is told to
(`files/lab`), and writes a proof to its disk that it alone executes (`files/witness`). It is built
in a moment and healthy 2 to 3 s after its start under emulation, with 128 MiB.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.lab.guest import cpio
from he_fsm.lab.guest.cache import GuestError
from he_fsm.lab.guest.cpio import Entry
from he_fsm.lab.guest.kernel import Kernel, module, unpacked

MEMORY_MIB: Final = 128
DISK_BYTES: Final = 1 << 20
HEALTH_PAGE: Final = "/ovirt-engine/services/health"
HEALTHY: Final = "DB Up!Welcome to Health Status!"
FAULTS_PAGE: Final = "/cgi-bin/lab"
# What makes it boot in 2 s where a processor is emulated: no self-tests, no calibration of timers
# that are well, no waiting for random numbers. panic=-1: a panic begins it anew at once.
APPEND: Final = (
    "console=ttyS0 panic=-1 quiet nokaslr mitigations=off cryptomgr.notests no_timer_check "
    "tsc=reliable random.trust_cpu=on audit=0 lsm=none"
)
# In the order in which they need each other; what is missing is a part of the kernel.
MODULES: Final = (
    *("drivers/virtio/virtio_ring", "drivers/virtio/virtio"),
    *("drivers/virtio/virtio_pci_legacy_dev", "drivers/virtio/virtio_pci_modern_dev"),
    *("drivers/virtio/virtio_pci", "net/core/failover", "drivers/net/net_failover"),
    *("drivers/net/virtio_net", "drivers/block/virtio_blk", "drivers/acpi/button"),
    *("drivers/input/evdev", "drivers/misc/pvpanic/pvpanic"),
    "drivers/misc/pvpanic/pvpanic-mmio",
)
_APPLETS: Final = (
    *("acpid", "arping", "cat", "cut", "dd", "devmem", "echo", "grep", "head", "httpd", "insmod"),
    *("ip", "kill", "mount", "mv", "poweroff", "printf", "rm", "sh", "sleep", "sync", "tr"),
    "usleep",
)
_FOLDERS: Final = (
    *("bin", "dev", "proc", "sys", "run", "modules", "etc", "etc/acpi", "etc/acpi/PWRF", "var"),
    *("var/log", "var/run", "www", "www/cgi-bin", "www/ovirt-engine", "www/ovirt-engine/services"),
)
_SCRIPTS: Final = {
    "init": "init",
    "bin/witness": "witness",
    "www/cgi-bin/lab": "lab",
    "etc/acpi/PWRF/00000080": "power",
}
# Where the guest's witness keeps its line, and what it found; see files/witness.
_SECTOR_BYTES: Final = 512


@attrs.frozen
class Guest:
    """The files of a guest; several VMs may use them at once."""

    kernel: Path
    initrd: Path
    append: str = APPEND


def build(folder: Path, kernel: Kernel, *, is_sick: bool = False) -> Guest:
    """
    Build the guest's first file system in *folder*; one that is sick has no health page.

    Raises:
        GuestError: busybox is missing, or the kernel is none.
    """
    found = shutil.which("busybox")
    if found is None:
        msg = "busybox is missing: install the package busybox-static"
        raise GuestError(msg)
    initrd = folder / ("sick-initrd.gz" if is_sick else "initrd.gz")
    busybox = Path(found).read_bytes()
    initrd.write_bytes(cpio.archive(_entries(kernel, busybox, is_sick=is_sick)))
    return Guest(unpacked(kernel), initrd)


def make_disk(path: Path) -> None:
    """Make an empty disk for the guest's witness."""
    path.write_bytes(bytes(DISK_BYTES))


def double_on(disk: Path) -> Optional[str]:
    """Return what the guest's witness found on its disk; None: never did two execute."""
    with disk.open("rb") as file:
        file.seek(_SECTOR_BYTES)
        line = file.read(_SECTOR_BYTES).rstrip(b"\0").decode(errors="replace").strip()
    return line or None


def wrote_to(disk: Path) -> bool:
    """Whether a guest's witness has ever written to its disk."""
    with disk.open("rb") as file:
        return bool(file.read(_SECTOR_BYTES).strip(b"\0"))


def _entries(kernel: Kernel, busybox: bytes, *, is_sick: bool) -> Iterator[Entry]:
    for folder in _FOLDERS:
        yield Entry.folder(folder)
    yield Entry.file("bin/busybox", busybox, is_program=True)
    for applet in _APPLETS:
        yield Entry.link(f"bin/{applet}", "busybox")
    for number, name in enumerate(MODULES, start=10):
        data = module(kernel, name)
        if data is not None:
            yield Entry.file(f"modules/{number}-{name.rpartition('/')[2]}.ko", data)
    files = resources.files("he_fsm.lab.guest") / "files"
    for path, name in _SCRIPTS.items():
        yield Entry.file(path, (files / name).read_bytes(), is_program=True)
    if not is_sick:
        yield Entry.file("www/ovirt-engine/services/health", HEALTHY.encode())
