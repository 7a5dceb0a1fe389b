"""What a sanlock lab needs of a machine; nothing is started for it, and no extra imported."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Final

from he_fsm.errors import HeFsmError, MissingExtraError
from he_fsm.lab.guest.cache import cache_folder
from he_fsm.lab.guest.kernel import find_kernel
from he_fsm.lab.mount import can_mount, trial
from he_fsm.lab.sanlock.release import program
from he_fsm.lab.sanlock_process import faketime, has_names
from he_fsm.runtime.leases.sanlock.daemon import module as sanlock_module

_FUSE: Final = Path("/dev/fuse")


def missing(speed: float) -> list[str]:
    """Return what this machine lacks, and which package has it."""
    # An ordinary user has no mounts: see `mount`.
    mounts = can_mount()
    needs = {
        "sanlock is missing: install the package sanlock": program() is not None,
        "sanlock wants a user and a group that have names": has_names(),
        "bindfs is missing: install the package bindfs": not mounts
        or shutil.which("bindfs") is not None,
        "/dev/fuse is missing: the kernel, or the container, has no FUSE": not mounts
        or _FUSE.exists(),
        "QEMU is missing: install the package qemu-system-x86": shutil.which("qemu-system-x86_64")
        is not None,
        "busybox is missing: install the package busybox-static": shutil.which("busybox")
        is not None,
        str(MissingExtraError.of("qemu.qmp", "qemu", "a real VM")): _has_qmp(),
        "libfaketime is missing, or use --speed 1: install the package faketime": speed == 1
        or faketime() is not None,
    }
    reasons = [reason for reason, is_there in needs.items() if not is_there]
    # A /dev/fuse that is there proves nothing.
    if mounts and _FUSE.exists() and shutil.which("bindfs") and (why := trial()):
        reasons.append(f"bindfs can't mount a folder here: {why}")
    for look in (sanlock_module.check, find_kernel, cache_folder):
        try:
            look()
        except HeFsmError as error:
            reasons.append(str(error))
    return reasons


def _has_qmp() -> bool:
    try:
        return importlib.util.find_spec("qemu.qmp") is not None
    except ModuleNotFoundError:
        return False
