"""
CPU load of this host: a mean over the last minutes, with or without the engine VM's own share.

What is not known yet is not 0: a host that has just begun to measure must not look idle.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import Callable, NamedTuple, Optional

import attrs
import psutil

from he_fsm.errors import MonitorError
from he_fsm.runtime.monitors.memory import EnginePid, no_engine

_DEADLINE_S = 5.0
# Source: ovirt-hosted-engine-ha 2.5, the history of snapshots.
HISTORY_S = 900.0


class CpuTimes(NamedTuple):
    """
    CPU seconds since boot, summed over all CPUs, and those of the engine VM's process.

    `engine_pid` None: no engine VM is here, or its share counts as load.
    """

    busy: float
    total: float
    engine_pid: Optional[int] = None
    engine: float = 0.0


class Sample(NamedTuple):
    """The load, 0 to 1, at a moment in seconds; None: not known."""

    at: float
    load: Optional[float]


def load_between(before: CpuTimes, after: CpuTimes) -> Optional[float]:
    """
    Return the load between two looks, 0 to 1, without the engine VM's share.

    None: no time has passed, or the engine VM came, went or was replaced meanwhile, so that
    nobody knows which part of the load was its own.
    """
    total = after.total - before.total
    if total <= 0 or before.engine_pid != after.engine_pid:
        return None
    busy = (after.busy - before.busy) - (after.engine - before.engine)
    return min(1.0, max(0.0, busy / total))


def mean_load(samples: Iterable[Sample]) -> Optional[float]:
    """
    Return the time-weighted mean of *samples*, which are in order of time.

    Each pair of neighbours counts with the mean of its two and the time between them; a pair
    with an unknown value does not count. None: there is no pair that counts.

    Source: ovirt-hosted-engine-ha 2.5, the load that its score is made from (which takes 0 for
    None).
    """
    area = seconds = 0.0
    before: Optional[Sample] = None
    for sample in samples:
        if before is not None and before.load is not None and sample.load is not None:
            area += (sample.at - before.at) * (before.load + sample.load) / 2
            seconds += sample.at - before.at
        before = sample
    return area / seconds if seconds > 0 else None


@attrs.define(eq=False)
class CpuLoad:
    """
    The mean load of all CPUs over the last *history_s* seconds, 0 to 1.

    With *engine_pid* the engine VM's share is left out. Not for several threads.
    """

    engine_pid: EnginePid = no_engine
    history_s: float = HISTORY_S
    clock: Callable[[], float] = time.monotonic
    deadline_s: float = _DEADLINE_S
    _samples: deque[Sample] = attrs.field(factory=deque, init=False)
    _before: Optional[CpuTimes] = attrs.field(default=None, init=False)

    def measure(self) -> Optional[float]:
        """
        Measure now; None until there is enough to tell.

        Raises:
            MonitorError: the kernel's or the process's counters can't be read.
        """
        now = self.clock()
        times = read_times(self.engine_pid())
        load = None if self._before is None else load_between(self._before, times)
        self._before = times
        self._samples.append(Sample(now, load))
        while self._samples[0].at < now - self.history_s:
            self._samples.popleft()
        return mean_load(self._samples)


def read_times(engine_pid: Optional[int]) -> CpuTimes:
    """
    Read the counters now.

    Raises:
        MonitorError: they can't be read.
    """
    try:
        times = psutil.cpu_times()
        pid, engine = _engine_seconds(engine_pid)
    except (psutil.Error, OSError) as error:
        msg = f"the CPU times can't be read: {error}"
        raise MonitorError(msg) from error
    # The time of guests is part of `user` and `nice` already.
    idle = times.idle + times.iowait
    busy = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
    return CpuTimes(busy, busy + idle, pid, engine)


def _engine_seconds(pid: Optional[int]) -> tuple[Optional[int], float]:
    if pid is None:
        return None, 0.0
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        # The process has ended since its id was read.
        return None, 0.0
    return pid, times.user + times.system
