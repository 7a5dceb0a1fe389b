"""
A VM's saved state in a file, as QEMU's migrations write and read it.

A file is named by `file:` from QEMU 10 on, where `fd:` with a file is deprecated; QEMU 11 refuses
it. QEMU 7.2 knows `fd:` alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Final

from he_fsm.runtime.hypervisors.qemu.monitor import Monitor

_BY_NAME_FROM: Final = 10
_NAME: Final = "saved-state"


async def save_to(monitor: Monitor, path: Path) -> None:
    """
    Order a QEMU to begin to write its state to a file.

    Raises:
        OSError: the file can't be written.
        HypervisorError: as `Monitor.execute`.
    """
    with path.open("wb") as file:
        await monitor.execute("migrate", uri=await _uri(monitor, file))


async def load_from(monitor: Monitor, path: Path) -> None:
    """Order a QEMU to begin to read its state from a file; raises as `save_to`."""
    with path.open("rb") as file:
        await monitor.execute("migrate-incoming", uri=await _uri(monitor, file))


async def _uri(monitor: Monitor, file: BinaryIO) -> str:
    version = await monitor.execute("query-version")
    if version["qemu"]["major"] >= _BY_NAME_FROM:
        return f"file:{file.name}"
    await monitor.give_file(_NAME, file.fileno())
    return f"fd:{_NAME}"
