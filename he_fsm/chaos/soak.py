"""Very many loops of real daemons in a short time, to see whether they grow."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Optional

import attrs
import psutil

from he_fsm.errors import HeFsmError
from he_fsm.lab.embedded import EmbeddedLab
from he_fsm.lab.host import LabHost
from he_fsm.rehearse.lab_spec import spec_of
from he_fsm.scenario import parse_scenarios

# One loop follows the other; nothing else is faster, so that a busy machine is no dead host.
_SCENARIO = """
scenarios:
  - name: soak
    world: {loop: 50ms, vm_start: 0s, vm_boot: 1s}
    hosts: 2
"""
# Until caches are full and every way has been gone once.
WARM_UP_LOOPS = 150
_SAMPLE_S = 0.2
# As long as a configuration may have it: a late answer costs a worker, which is another test.
_DEADLINE_SHARE = 0.9
_LOOP_AT_WORST_S = 1.0
_MIB = 1 << 20
# Python's own allocator goes up and down by about as much.
GROWTH_MAX_MIB = 2.0
# The usual number goes up and down by as many, with the callers that are being served.
GROWTH_MAX_DESCRIPTORS = 2


@attrs.frozen
class Size:
    """Resident memory (MiB) and open descriptors of one process."""

    memory_mib: float
    descriptors: int


@attrs.frozen
class Growth:
    """One daemon after the warm-up and in the end; each sums up several samples."""

    name: str
    first: Size
    last: Size

    @property
    def is_small(self) -> bool:
        """Whether it has hardly grown; what leaks now and then grows without end."""
        grown_mib = self.last.memory_mib - self.first.memory_mib
        grown = self.last.descriptors - self.first.descriptors
        return grown_mib <= GROWTH_MAX_MIB and grown <= GROWTH_MAX_DESCRIPTORS

    def __str__(self) -> str:
        """Return it for people."""
        first, last = self.first, self.last
        return (
            f"{self.name}: {first.memory_mib:.1f} -> {last.memory_mib:.1f} MiB, "
            f"{first.descriptors} -> {last.descriptors} descriptors"
        )


def soak(loops: int) -> tuple[Growth, ...]:
    """
    Run the daemons of two hosts for so many loops after the warm-up; measure those of host 1.

    Raises:
        HeFsmError: they do not come up, or a loop takes for ever.
    """
    (scenario,) = parse_scenarios(_SCENARIO, "soak")
    folder = Path(tempfile.mkdtemp(prefix="he-fsm-soak-"))
    lab = EmbeddedLab(spec_of(scenario, 1.0), folder)
    try:
        for host in lab.hosts.values():
            host.deadline_s = lab.policy.loop_s * _DEADLINE_SHARE
        lab.start()
        return _measured(lab.hosts["1"], loops)
    finally:
        lab.close()
        shutil.rmtree(folder, ignore_errors=True)


def _measured(host: LabHost, loops: int) -> tuple[Growth, ...]:
    window = max(1, loops // 4)
    _await_loops(host, WARM_UP_LOOPS)
    first = _used(host, WARM_UP_LOOPS + window)
    _await_loops(host, WARM_UP_LOOPS + loops - window)
    last = _used(host, WARM_UP_LOOPS + loops)
    return tuple(Growth(name, first[name], last[name]) for name in first)


def _await_loops(host: LabHost, count: int) -> None:
    for _ in _samples(host, count):
        pass


def _used(host: LabHost, count: int) -> dict[str, Size]:
    """Sum up what each daemon uses until *count* loops are done."""
    found: dict[str, list[Size]] = {}
    for sizes in _samples(host, count):
        for name, size in sizes.items():
            found.setdefault(name, []).append(size)
    return {name: summed_up(sizes) for name, sizes in found.items()}


def summed_up(sizes: Sequence[Size]) -> Size:
    """
    Return the most memory, and the usual number of descriptors.

    A caller that is being served adds some for a moment, and a storage worker that is being
    replaced takes some away for a moment; what leaks stays open.
    """
    return Size(
        max(size.memory_mib for size in sizes),
        statistics.median_low(size.descriptors for size in sizes),
    )


def _samples(host: LabHost, count: int) -> Iterator[dict[str, Size]]:
    """Measure again and again until *count* loops are done."""
    began_at, began_with = time.monotonic(), _loops_done(host) or 0
    patience_s = 20.0 + (count - began_with) * _LOOP_AT_WORST_S
    while True:
        host.check_daemons()
        done = _loops_done(host)
        yield _sizes(host)
        if done is not None and done >= count:
            return
        if time.monotonic() > began_at + patience_s:
            msg = f"{done or 0} of {count} loops after {patience_s:.0f} s"
            raise HeFsmError(msg)
        time.sleep(_SAMPLE_S)


def _loops_done(host: LabHost) -> Optional[int]:
    """Return the number of loops: each writes the slot once; None: the broker is not up yet."""
    try:
        return int(host.client.status()["counts"].get("slot_writes", 0))
    except HeFsmError:
        return None


def _sizes(host: LabHost) -> dict[str, Size]:
    sizes = {}
    for name, process in (("agent", host.agent_process), ("broker", host.broker_process)):
        if process is not None:
            seen = psutil.Process(process.pid)
            sizes[name] = Size(seen.memory_info().rss / _MIB, seen.num_fds())
    return sizes
