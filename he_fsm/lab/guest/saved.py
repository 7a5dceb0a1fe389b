"""
The guest as a VM, and its state when it is healthy: from there it runs in a moment.

A saved state belongs to one kernel, one QEMU and one description of the VM; it is kept in the cache
beside the kernel, about 60 MB, under a name that says what it was made of.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import http.client
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.files.whole import replacing
from he_fsm.lab.guest.build import FAULTS_PAGE, HEALTH_PAGE, MEMORY_MIB, Guest, make_disk
from he_fsm.lab.guest.cache import GuestError, cache_folder, forget_old
from he_fsm.runtime.hypervisors.qemu.command import (
    CONSOLE_LOG,
    MONITOR,
    binary_of,
    command,
    fingerprint,
)
from he_fsm.runtime.hypervisors.qemu.monitor import Monitor
from he_fsm.runtime.hypervisors.qemu.section import DiskConfig, NicConfig, VmConfig
from he_fsm.runtime.hypervisors.qemu.state_file import save_to

# Its boot takes 2 to 3 s where it is emulated; far above, for machines that are busy (seconds).
_BOOTED_S: Final = 60.0
_LOOK_S: Final = 0.05
_PAGE_S: Final = 1.0
# Labs with namespaces and labs without have one each, and others work at other versions.
_STATES_KEPT: Final = 6
# Where a guest's pages are whose network is QEMU's own.
LOCAL: Final = "127.0.0.1"


def guest_vm(guest: Guest, disk: Path, port: int, *, accel: str = "auto") -> VmConfig:
    """Describe the guest as a VM whose health page is at a port of this machine."""
    return VmConfig(
        name="engine",
        cpus=1,
        memory=MEMORY_MIB,
        disks=(DiskConfig(path=disk),),
        nics=(NicConfig(kind="user", forwards=(f"{LOCAL}:{port}:80",)),),
        kernel=guest.kernel,
        initrd=guest.initrd,
        append=guest.append,
        accel=accel,
    )


def resting(guest: Guest) -> Guest:
    """
    Return the guest whose witness waits for a name: the one of which states are saved.

    All that run from one saved state would call themselves the same.
    """
    return attrs.evolve(guest, append=f"{guest.append} guest.witness=rest")


def on_tap(vm: VmConfig, name: str, address: str, gateway: str) -> VmConfig:
    """
    Return a VM with another network: a tap of this machine, and an address of its own.

    *address* has the bits of its network: `10.99.0.100/16`.
    """
    append = f"{vm.append} guest.ip={address} guest.gw={gateway}"
    return attrs.evolve(vm, nics=(NicConfig(kind="tap", name=name),), append=append)


def page(
    port: int, path: str = HEALTH_PAGE, timeout_s: float = _PAGE_S, address: str = LOCAL
) -> Optional[int]:
    """Return the status of a page of the guest; None: nobody answers."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def say(port: int, word: str, timeout_s: float = _PAGE_S, address: str = LOCAL) -> Optional[str]:
    """Send a word to the guest's page of faults (`files/lab`); return its answer, or None."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout_s)
    try:
        connection.request("GET", f"{FAULTS_PAGE}?{word}")
        return connection.getresponse().read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def saved_state(vm: VmConfig, port: int, address: str = LOCAL, *, is_sick: bool = False) -> Path:
    """
    Return the state of a healthy guest, by booting one where none was saved yet.

    *vm* is a guest that rests, emulated (`tcg`); *port* and *address* are its page's. *is_sick*: it
    has just lost its health page.

    Raises:
        GuestError: it does not become healthy.
    """
    path = cache_folder() / f"state-{_digest(vm)}{'-sick' if is_sick else ''}"
    if path.exists():
        # Those that are used are kept.
        path.touch()
    else:
        with tempfile.TemporaryDirectory(prefix="he-fsm-") as run_dir:
            fresh = Path(run_dir) / "state"
            asyncio.run(_save(vm, port, address, Path(run_dir), fresh, is_sick=is_sick))
            # From wherever temporary files are.
            with replacing(path, is_durable=False) as copy:
                shutil.copyfile(fresh, copy)
        forget_old("state-*", _STATES_KEPT)
    return path


def _digest(vm: VmConfig) -> str:
    version = subprocess.run(  # noqa: S603 - the program that runs the VM
        [binary_of(vm), "--version"], capture_output=True, check=False
    ).stdout
    digest = hashlib.sha256(version + fingerprint(vm).encode() + vm.append.encode())
    for path in (vm.kernel, vm.initrd):
        if path is not None:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


async def _save(  # noqa: PLR0913 - all are needed
    vm: VmConfig, port: int, address: str, run_dir: Path, path: Path, *, is_sick: bool
) -> None:
    disk = run_dir / "disk"
    make_disk(disk)
    vm = attrs.evolve(vm, disks=(DiskConfig(path=disk, cache="writeback"),))
    process = await asyncio.create_subprocess_exec(
        *command(vm, run_dir, "tcg", awaits=False), stdin=asyncio.subprocess.DEVNULL
    )
    try:
        monitor = await Monitor.connect(run_dir / MONITOR, lambda: process.returncode is None)
        if monitor is None:
            msg = "QEMU ended before the guest was healthy"
            raise GuestError(msg)
        await _healthy(port, address, run_dir)
        if is_sick:
            tell = functools.partial(say, port, "sick", address=address)
            await asyncio.get_running_loop().run_in_executor(None, tell)
        await monitor.execute("stop")
        await _write_state(monitor, path)
        await monitor.close()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _healthy(port: int, address: str, run_dir: Path) -> None:
    ends_at = time.monotonic() + _BOOTED_S
    loop = asyncio.get_running_loop()
    ask = functools.partial(page, port, address=address)
    while await loop.run_in_executor(None, ask) != http.client.OK:
        if time.monotonic() > ends_at:
            said = (run_dir / CONSOLE_LOG).read_text(errors="replace")[-500:]
            msg = f"the guest is not healthy after {_BOOTED_S:g} s: {said}"
            raise GuestError(msg)
        await asyncio.sleep(_LOOK_S)


async def _write_state(monitor: Monitor, path: Path) -> None:
    await save_to(monitor, path)
    status = ""
    while status != "completed":
        status = str((await monitor.execute("query-migrate")).get("status"))
        if status == "failed":
            msg = "QEMU can't save the guest's state"
            raise GuestError(msg)
        await asyncio.sleep(_LOOK_S)
