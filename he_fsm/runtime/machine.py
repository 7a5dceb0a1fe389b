"""What can be measured and asked on one machine before anything depends on it: clock, storage."""

from __future__ import annotations

import ctypes
import math
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs

from he_fsm.errors import MonitorError, StorageError
from he_fsm.policy import Policy
from he_fsm.runtime.config import Config
from he_fsm.runtime.storage.direct_file import DirectFile
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile

_CLOCK_SOURCE: Final = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
# They stand still, or jump, with the load of the machine. Source: kernel, timers/timekeeping.rst.
_BAD_SOURCES: Final = ("jiffies", "refined-jiffies")
# `struct timex` of 64-bit Linux, its first field and its size; source: sys/timex.h.
_TIMEX_BYTES: Final = 208
_TIME_ERROR: Final = 5
_BLOCK: Final = 4096
# An answer that takes longer than half of io_timeout may miss it when the storage is busy.
_ROOM: Final = 2
_READS_MIN: Final = 10


@attrs.frozen(kw_only=True)
class Latency:
    """How long reads of one block took, past this machine's cache (seconds); at least one."""

    times_s: tuple[float, ...]
    is_direct: bool

    @property
    def median_s(self) -> float:
        """Half of the reads took no longer."""
        return statistics.median(self.times_s)

    @property
    def p99_s(self) -> float:
        """All but one of a hundred reads took no longer."""
        return sorted(self.times_s)[math.ceil(0.99 * len(self.times_s)) - 1]

    @property
    def worst_s(self) -> float:
        """The slowest read."""
        return max(self.times_s)

    @property
    def io_timeout_s(self) -> int:
        """The io_timeout that leaves room for twice the slowest read: whole seconds, 1 at least."""
        return max(1, math.ceil(_ROOM * self.worst_s))

    def is_slow_for(self, policy: Policy) -> bool:
        """Whether a policy's io_timeout leaves no such room."""
        return self.io_timeout_s > policy.io_timeout_s


def clock_source() -> str:
    """Return the kernel's clock source; empty: it does not say."""
    try:
        return _CLOCK_SOURCE.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def clock_problems() -> Iterator[str]:
    """Return what is wrong with this machine's clocks, a sentence each."""
    source = clock_source()
    if source in _BAD_SOURCES:
        yield f"the clock source is {source}, which loses time while the machine is busy"
    if not is_synchronised():
        yield "the wall clock is not synchronised: times of hosts can't be compared by people"


def is_synchronised() -> bool:
    """Whether the kernel has been told that a time service keeps the wall clock right."""
    answer = ctypes.create_string_buffer(_TIMEX_BYTES)
    # With all modes 0 it only asks, which everybody may.
    state: int = ctypes.CDLL(None, use_errno=True).adjtimex(answer)
    return 0 <= state < _TIME_ERROR


def measure(config: Config, for_s: float, clock: Callable[[], float] = time.monotonic) -> Latency:
    """
    Read the beginning of the whiteboard again and again, for so many seconds, ten times at least.

    Raises:
        StorageError: it can't be read.
    """
    file: DirectFile = WhiteboardFile(config.storage.whiteboard, config.storage.offset)
    ends_at = clock() + for_s
    times: list[float] = []
    while len(times) < _READS_MIN or clock() < ends_at:
        began = clock()
        if len(file.read_beginning(_BLOCK)) < _BLOCK:
            msg = f"{file.path} has not even one slot: he-fsm storage init"
            raise StorageError(msg)
        times.append(clock() - began)
    return Latency(times_s=tuple(times), is_direct=file.is_direct)


def wants_huge(config: Config) -> bool:
    """Whether the VM's memory is huge pages."""
    return config.monitors.memory.huge_pages


def free_memory(config: Config) -> float:
    """
    Return the MiB that are free for the VM, as the score counts them: the VM here is left out.

    Raises:
        MonitorError, HypervisorError: it can't be found out.
    """
    from he_fsm.runtime.monitors.make import free_memory_of  # noqa: PLC0415 - loads psutil
    from he_fsm.runtime.parts import make_access  # noqa: PLC0415 - loads the kind of hypervisor

    vm = make_access(config).identity()
    free = free_memory_of(config, lambda: None if vm is None else vm.pid).measure()
    if free is None:
        msg = f"{config.monitors.memory.path} says nothing of the free memory"
        raise MonitorError(msg)
    return free
