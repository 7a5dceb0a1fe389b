"""What a daemon uses, and whether it grows: memory, open descriptors, threads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs
import psutil

_MIB = 1 << 20
# Python's own allocator goes up and down by about as much.
GROWTH_MAX_MIB = 2.0
# The usual number goes up and down by as many, with the callers that are being served.
GROWTH_MAX_DESCRIPTORS = 2
# A broker makes a thread for each request that waits, up to a limit, and keeps the thread.
GROWTH_MAX_THREADS = 2


@attrs.frozen
class Size:
    """Resident memory (MiB), open descriptors and threads of one process."""

    memory_mib: float
    descriptors: int
    threads: int


@attrs.frozen
class Growth:
    """One daemon after the warm-up and in the end; each sums up several samples."""

    name: str
    first: Size
    last: Size

    @property
    def is_small(self) -> bool:
        """Whether it has hardly grown; what leaks now and then grows without end."""
        return self.last.memory_mib - self.first.memory_mib <= GROWTH_MAX_MIB and not self.leaks

    @property
    def leaks(self) -> bool:
        """Whether it has more descriptors or threads than before."""
        first, last = self.first, self.last
        return (
            last.descriptors - first.descriptors > GROWTH_MAX_DESCRIPTORS
            or last.threads - first.threads > GROWTH_MAX_THREADS
        )

    def __str__(self) -> str:
        """Return it for people."""
        first, last = self.first, self.last
        return (
            f"{self.name}: {first.memory_mib:.1f} -> {last.memory_mib:.1f} MiB, "
            f"{first.descriptors} -> {last.descriptors} descriptors, "
            f"{first.threads} -> {last.threads} threads"
        )


def summed_up(sizes: Sequence[Size]) -> Size:
    """
    Return the most memory, and the lower quartile of the numbers of descriptors and threads.

    A caller that is being served adds some, on a busy machine most of the time, and a storage
    worker that is being replaced takes some away for a moment; what leaks stays open.
    """
    return Size(
        max(size.memory_mib for size in sizes),
        _lower_quartile(size.descriptors for size in sizes),
        _lower_quartile(size.threads for size in sizes),
    )


def _lower_quartile(numbers: Iterable[int]) -> int:
    ordered = sorted(numbers)
    return ordered[len(ordered) // 4]


def size_of(process: psutil.Process) -> Size:
    """Return what a process uses now; raises `psutil.NoSuchProcess` where it has ended."""
    memory_mib = process.memory_info().rss / _MIB
    return Size(memory_mib, process.num_fds(), process.num_threads())
