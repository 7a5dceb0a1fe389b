"""What the sanlock back end needs of a machine and of a scenario; nothing is started for it."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Final

from he_fsm.errors import HeFsmError, MissingExtraError
from he_fsm.rehearse import faults
from he_fsm.rehearse.guest.kernel import GuestError, find_kernel
from he_fsm.rehearse.lease_sight import OUTSIDER
from he_fsm.rehearse.mount import NO_MOUNT, can_mount, trial
from he_fsm.rehearse.sanlock_process import faketime, has_names, program
from he_fsm.runtime.leases import sanlock_module
from he_fsm.scenario.model import Scenario, TimelineEntry, Verb

_FUSE: Final = Path("/dev/fuse")
# The kernel's I/O is not sped up: a stall of less than this would cost a host its id (seconds).
_IO_TIMEOUT_MIN_S: Final = 0.2
# A constant of sanlock's, in seconds of its own clock.
_WATCHDOG_S: Final = 60


def missing(speed: float) -> list[str]:
    """Say what this machine lacks, and which package has it."""
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
    if mounts and not reasons and (why := trial()):
        reasons.append(f"bindfs can't mount a folder here: {why}")
    try:
        sanlock_module.check()
    except HeFsmError as error:
        reasons.append(str(error))
    try:
        find_kernel()
    except GuestError as error:
        reasons.append(str(error))
    return reasons


def cannot(scenario: Scenario, speed: float) -> list[str]:
    """Say which entries of a scenario this back end can't do, and why."""
    reasons = faults.cannot(scenario, has_sanlock=True)
    reasons.extend(
        f"{entry.place}: {entry.text}: {why}"
        for entry in scenario.timeline
        if (why := _why_not(entry))
    )
    reasons.extend(
        f"host {host.name}: id {OUTSIDER} is for who looks at the leases from outside"
        for host in scenario.hosts
        if host.id == OUTSIDER
    )
    if speed < 1:
        reasons.append(f"--speed {speed:g}: sanlock can be faster than the clock, not slower")
    io_timeout_s = scenario.policy.io_timeout_s
    if io_timeout_s != round(io_timeout_s):
        reasons.append(f"io_timeout: sanlock's is a whole number of seconds, not {io_timeout_s:g}")
    if io_timeout_s / speed < _IO_TIMEOUT_MIN_S:
        least = _IO_TIMEOUT_MIN_S * speed
        reasons.append(f"io_timeout: at speed {speed:g} the disk needs {least:g} s or more")
    if scenario.policy.watchdog_s != _WATCHDOG_S:
        reasons.append(f"watchdog_s: sanlock's is {_WATCHDOG_S} s, whatever a policy says")
    return reasons


def _why_not(entry: TimelineEntry) -> str:
    if entry.verb is Verb.STORAGE and entry.value[0] in ("cut", "hang") and not can_mount():
        return NO_MOUNT
    if entry.verb is Verb.HYPERVISOR:
        return "a real QEMU can't be kept from its agent: it has the monitor open"
    if entry.verb is Verb.MIGRATIONS and entry.value[0] == "hang":
        return "a real migration can be made to fail, not to hang: its own limits would end it"
    return ""


def _has_qmp() -> bool:
    try:
        return importlib.util.find_spec("qemu.qmp") is not None
    except ModuleNotFoundError:
        return False
