"""Memory and CPU: the arithmetic, and this machine's own numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.errors import MonitorError
from he_fsm.runtime.monitors.cpu import (
    CpuLoad,
    CpuTimes,
    Sample,
    load_between,
    mean_load,
    read_times,
)
from he_fsm.runtime.monitors.memory import (
    FreeHugePages,
    FreeMemory,
    HostMemory,
    MemoryLoad,
    free_huge_mib,
    huge_mib_of,
    read_memory,
)
from he_fsm.testing.waiting import until

MIB = 1 << 20


def test_the_engines_memory_counts_as_free() -> None:
    memory = HostMemory(total=16384 * MIB, available=4096 * MIB, engine=4096 * MIB)
    assert memory.free_mib == 8192.0
    assert memory.load == 0.5


def test_memory_is_never_more_than_there_is() -> None:
    memory = HostMemory(total=100 * MIB, available=90 * MIB, engine=20 * MIB)
    assert memory.free_mib == 100.0
    assert memory.load == 0.0


def test_this_machine_has_memory() -> None:
    memory = read_memory(lambda: None)
    assert 0 < memory.available <= memory.total
    assert 0 < FreeMemory().measure() <= memory.total / MIB
    assert 0 <= MemoryLoad().measure() <= 1


def test_a_process_that_is_the_engine_is_left_out() -> None:
    assert read_memory(os.getpid).engine > MIB


def test_an_engine_that_is_gone_takes_nothing(ended_pid: int) -> None:
    assert read_memory(lambda: ended_pid).engine == 0
    assert read_times(ended_pid).engine_pid is None


@given(free=st.integers(0, 10**6), reserved=st.integers(0, 10**6))
def test_huge_pages_that_are_reserved_are_not_free(free: int, reserved: int) -> None:
    text = (
        f"MemTotal: 24683956 kB\nHugePages_Total: {free}\nHugePages_Free: {free}\n"
        f"HugePages_Rsvd: {reserved}\nHugepagesize: 2048 kB\n"
    )
    assert free_huge_mib(text) == 2 * max(0, free - reserved)


def test_a_kernel_without_huge_pages_is_no_host_without_memory() -> None:
    with pytest.raises(MonitorError, match="says nothing of huge pages"):
        free_huge_mib("MemTotal: 24683956 kB\n")


def test_the_engines_huge_pages_count_as_free() -> None:
    assert huge_mib_of("VmRSS:\t 1200 kB\nHugetlbPages:\t 4194304 kB\n") == 4096.0
    assert huge_mib_of("VmRSS:\t 1200 kB\n") == 0.0


def test_this_machine_says_how_many_huge_pages_are_free(ended_pid: int) -> None:
    assert FreeHugePages(lambda: ended_pid).measure() == FreeHugePages(os.getpid).measure() >= 0.0


@pytest.fixture
def ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("before", "after", "load"),
    [
        (CpuTimes(10, 100), CpuTimes(60, 200), 0.5),
        # The engine used 30 of the 50.
        (CpuTimes(10, 100, 7, 5), CpuTimes(60, 200, 7, 35), 0.2),
        # Counters of the process and of the machine are not read at one moment.
        (CpuTimes(10, 100, 7, 5), CpuTimes(60, 200, 7, 65), 0.0),
        (CpuTimes(10, 100), CpuTimes(10, 100), None),
        # Counters that go back, as those of iowait may.
        (CpuTimes(10, 100), CpuTimes(5, 110), 0.0),
        # The engine came, went, or is another one: nobody knows its share.
        (CpuTimes(10, 100), CpuTimes(60, 200, 7, 5), None),
        (CpuTimes(10, 100, 7, 5), CpuTimes(60, 200), None),
        (CpuTimes(10, 100, 7, 5), CpuTimes(60, 200, 8, 1), None),
    ],
)
def test_the_load_between_two_looks(before: CpuTimes, after: CpuTimes, load: float | None) -> None:
    assert load_between(before, after) == load


@pytest.mark.parametrize(
    ("samples", "mean"),
    [
        ([], None),
        ([Sample(0, 0.5)], None),
        ([Sample(0, None), Sample(10, 0.5)], None),
        ([Sample(0, 0.2), Sample(10, 0.4)], 0.3),
        # The longer pair weighs more.
        ([Sample(0, 0.0), Sample(10, 0.0), Sample(40, 1.0)], 0.375),
        # What is not known is left out, on both sides.
        ([Sample(0, 0.2), Sample(10, 0.2), Sample(20, None), Sample(30, 1), Sample(40, 1)], 0.6),
    ],
)
def test_the_mean_weighs_by_time(samples: list[Sample], mean: float | None) -> None:
    assert mean_load(samples) == pytest.approx(mean)


loads = st.one_of(st.none(), st.floats(min_value=0, max_value=1))


@given(
    steps=st.lists(st.tuples(st.floats(min_value=0.1, max_value=60), loads), max_size=30),
)
def test_the_mean_is_between_the_least_and_the_most(
    steps: list[tuple[float, float | None]],
) -> None:
    at, samples = 0.0, []
    for step_s, load in steps:
        at += step_s
        samples.append(Sample(at, load))
    mean = mean_load(samples)
    known = [load for _, load in steps if load is not None]
    assert mean is None or min(known) - 1e-9 <= mean <= max(known) + 1e-9


@pytest.fixture
def busy_pid() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        yield process.pid
        process.kill()


def wait_for_cpu_time(seconds: float) -> None:
    """The kernel counts in ticks: wait until that many seconds passed on all CPUs together."""
    start = read_times(None).total
    until(lambda: read_times(None).total >= start + seconds)


def test_nothing_is_known_until_there_are_two_loads() -> None:
    load = CpuLoad()
    assert load.measure() is None
    wait_for_cpu_time(0.2)
    assert load.measure() is None
    wait_for_cpu_time(0.2)
    mean = load.measure()
    assert mean is not None
    assert 0 <= mean <= 1


def test_the_engines_own_load_is_left_out(busy_pid: int) -> None:
    all_of_it, without_engine = CpuLoad(), CpuLoad(lambda: busy_pid)
    for _ in range(4):
        everything, rest = all_of_it.measure(), without_engine.measure()
        wait_for_cpu_time(1.0)
    assert everything is not None
    assert rest is not None
    # It keeps one CPU busy; how much of one it gets depends on what else runs here.
    assert rest < everything


def test_what_is_older_than_the_history_is_forgotten() -> None:
    now = [0.0]
    load = CpuLoad(history_s=100.0, clock=lambda: now[0])
    for _ in range(5):
        load.measure()
        wait_for_cpu_time(0.05)
        now[0] += 10
    now[0] += 1000
    assert load.measure() is None
