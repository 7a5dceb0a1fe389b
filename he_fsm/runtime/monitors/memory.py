"""Free memory and memory load of this host, as if the engine VM were not here; huge pages, too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Callable, Final, Optional

import attrs
import psutil

from he_fsm.errors import MonitorError

_MIB = 1 << 20
_DEADLINE_S = 5.0
MEMINFO: Final = Path("/proc/meminfo")
_LINE: Final = re.compile(r"(?P<key>\w+):\s+(?P<value>\d+)")
_KIB_A_MIB: Final = 1024

# Gives the process id of the engine VM here; None: there is none.
EnginePid = Callable[[], Optional[int]]


def no_engine() -> Optional[int]:
    """Say that no engine VM is here."""
    return None


@attrs.frozen
class HostMemory:
    """
    The memory of a host in bytes.

    `available` is what a new process could have without swapping; `engine` is resident for
    the engine VM (huge pages are not part of a process's resident memory).
    """

    total: int
    available: int
    engine: int = 0

    @property
    def free_mib(self) -> float:
        """MiB that are or would be free without the engine VM."""
        return self._free / _MIB

    @property
    def load(self) -> float:
        """Fraction of the memory, 0 to 1, that is in use by everything but the engine VM."""
        return 1.0 - self._free / self.total

    @property
    def _free(self) -> int:
        # The two numbers are not read at one moment, so their sum can be a little too large.
        return min(self.total, self.available + self.engine)


def read_memory(engine_pid: EnginePid) -> HostMemory:
    """
    Read the memory of this host now.

    Raises:
        MonitorError: it can't be read.
    """
    try:
        memory = psutil.virtual_memory()
        engine = _resident(engine_pid())
    except (psutil.Error, OSError) as error:
        msg = f"the memory can't be read: {error}"
        raise MonitorError(msg) from error
    return HostMemory(memory.total, memory.available, engine)


@attrs.frozen
class FreeMemory:
    """MiB that are free for the engine VM on this host."""

    engine_pid: EnginePid = no_engine
    deadline_s: float = _DEADLINE_S

    def measure(self) -> float:
        """Measure now; raises `MonitorError`."""
        return read_memory(self.engine_pid).free_mib


@attrs.frozen
class MemoryLoad:
    """Fraction of this host's memory that is in use, the engine VM apart."""

    engine_pid: EnginePid = no_engine
    deadline_s: float = _DEADLINE_S

    def measure(self) -> float:
        """Measure now; raises `MonitorError`."""
        return read_memory(self.engine_pid).load


def _resident(pid: Optional[int]) -> int:
    if pid is None:
        return 0
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        # The process has ended since its id was read.
        return 0


def free_huge_mib(text: str) -> float:
    """
    Return how many MiB of huge pages are free, by what /proc/meminfo says.

    Pages that are reserved for a process that has not touched them yet are not free.

    Raises:
        MonitorError: the kernel has no huge pages.
    """
    found = _numbers(text)
    try:
        pages = found["HugePages_Free"] - found["HugePages_Rsvd"]
        return max(0, pages) * found["Hugepagesize"] / _KIB_A_MIB
    except KeyError as error:
        msg = f"the kernel says nothing of huge pages: there is no {error} in {MEMINFO}"
        raise MonitorError(msg) from error


def huge_mib_of(text: str) -> float:
    """Return how many MiB of huge pages a process has, by its /proc/PID/status; 0.0: none."""
    return _numbers(text).get("HugetlbPages", 0) / _KIB_A_MIB


@attrs.frozen
class FreeHugePages:
    """MiB of huge pages that are free for the engine VM, those that it has here included."""

    engine_pid: EnginePid = no_engine
    deadline_s: float = _DEADLINE_S

    def measure(self) -> float:
        """Measure now; raises `MonitorError`."""
        try:
            free = free_huge_mib(MEMINFO.read_text(encoding="ascii"))
            return free + _of_engine(self.engine_pid())
        except OSError as error:
            msg = f"the huge pages can't be read: {error}"
            raise MonitorError(msg) from error


def _of_engine(pid: Optional[int]) -> float:
    if pid is None:
        return 0.0
    try:
        return huge_mib_of(Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    except (FileNotFoundError, ProcessLookupError):
        # The process has ended since its number was read.
        return 0.0


def _numbers(text: str) -> Mapping[str, int]:
    return {
        found["key"]: int(found["value"]) for found in map(_LINE.match, text.splitlines()) if found
    }
