"""Measure he_fsm on real sanlock daemons and QEMU VMs: `make bench-real`; ten minutes or so."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from real_cluster import BigLab, Cluster, Crash, cluster
from table import MORE, Row, show

from he_fsm import parse_scenarios
from he_fsm.chaos.sizes import GROWTH_MAX_DESCRIPTORS, GROWTH_MAX_THREADS, Growth
from he_fsm.chaos.strike_sanlock import SANLOCK_KIT
from he_fsm.errors import HeFsmError
from he_fsm.lab.qemu.lab import QemuLab
from he_fsm.lab.sanlock.needs import missing
from he_fsm.lab.sanlock.release import VARIABLE
from he_fsm.rehearse.backends import LIBVIRT
from he_fsm.rehearse.cannot import sanlock_cannot

# On the true clock, sanlock's shortest times; a real boot, and agents that look every 10 s.
TRUE_CLOCK = """
scenarios:
  - name: true-clock
    world: {io_timeout: 1s, vm_start: 1s, vm_boot: 5s}
    hosts: 3
"""
# Only how a move itself goes is measured: the agents decide at once, and do not wait for longer
# and longer between moves.
MOVES = """
scenarios:
  - name: moves
    policy:
      base: talk
      migration_hold_s: 0
      migration_backoff_s: 1
      migration_backoff_max_s: 2
      drain_retry_s: 1
    world: {loop: 1s, io_timeout: 1s, vm_start: 1s, vm_boot: 5s, migration: 3s}
    hosts: 3
"""
# Ten times faster than the clock; VMs are resumed from a saved state. Starting a process takes as
# long as ever, so that the hosts' turns are as far apart as on the true clock: 2 s of it.
FAST = """
scenarios:
  - name: marathon
    policy:
      base: talk
      migration_hold_s: 0
      migration_backoff_s: 1
      migration_backoff_max_s: 2
      drain_retry_s: 1
      stagger_s: 20
      stagger_total_s: 40
    world: {io_timeout: 2s, vm_start: 1s, vm_boot: 5s, migration: 5s}
    hosts: 3
"""
# The profile `fast`, as it is, on the true clock: sanlock 3.9 or later.
PROFILE = """
scenarios:
  - name: profile-fast
    policy: {base: talk, profile: fast}
    world: {vm_start: 1s, vm_boot: 5s}
    hosts: 3
"""
# Both hypervisors boot the guest; agents look every second, and move at once. The VM is killed more
# often than a host forgives, and how long a host is blocked then is no matter of the hypervisor.
SIDE_BY_SIDE = MOVES.replace("moves", "side-by-side").replace(
    "base: talk", "base: talk\n      failed_start_penalty: 0\n      failed_starts_max: 1000"
)
# What can be measured by itself: `libvirt` beside QEMU, and `domains` that move in a row.
PARTS = ("true-clock", "fast", "moves", "libvirt", "domains", "marathon")
# How much longer a domain of libvirt may take than QEMU alone (seconds).
MORE_WITH_LIBVIRT = {
    "VM killed: executes again": 1.0,
    "move: ordered, executes there": 1.2,
    "host crash: executes after the lease can be had": 1.0,
}
# Where `make debian13` leaves a newer sanlock.
UNPACKED = Path("build/debian13")
SPEED = 10.0
# Of `marathon`: one of so many failovers cuts a host's power, the others kill the VM.
CRASH_EVERY = 5


def on_the_true_clock(kills: int, crashes: int) -> Iterator[Row]:
    """Kill the VM, and cut the power of its host; the guest boots."""
    with cluster(TRUE_CLOCK, 1.0) as found:
        killed = [found.kill_vm() for _ in range(kills)]
        executes_s = max(each.executes_s for each in killed)
        yield Row("VM killed: executes again, the slowest", executes_s, 3.0, "s")
        boots_s = max(each.healthy_s - each.executes_s for each in killed)
        yield Row("  health page good after that, the slowest", boots_s, 5.0, "s")
        crashed = [found.crash_host() for _ in range(crashes)]
        yield from _after_the_lease(crashed)
        whole_s = max(each.started.executes_s for each in crashed)
        yield Row("  after the crash", whole_s, 70.0 + 1.5, "s")
        yield Row("  refused starts", sum(each.refused for each in crashed), 0, "")
        yield from _ended(found)


def with_the_fast_profile(crashes: int) -> Iterator[Row]:
    """Cut the power of the engine's host under the profile `fast`."""
    with cluster(PROFILE, 1.0) as found:
        crashed = [found.crash_host() for _ in range(crashes)]
        whole_s = max(each.started.executes_s for each in crashed)
        yield Row("profile fast: power cut, VM executes, the slowest", whole_s, 30.0, "s")
        yield Row("  refused starts", sum(each.refused for each in crashed), 0, "")
        yield from _ended(found)


def fast_rows(crashes: int) -> list[Row]:
    """Return the rows of the profile `fast`, and say why there are none."""
    (scenario,) = parse_scenarios(PROFILE, "bench-real")
    reasons = sanlock_cannot(scenario, 1.0)
    if reasons and UNPACKED.is_dir() and VARIABLE not in os.environ:
        # The machine's own is older.
        os.environ[VARIABLE] = str(UNPACKED)
        try:
            return fast_rows(crashes)
        finally:
            del os.environ[VARIABLE]
    for reason in reasons:
        print(f"profile fast is not measured: {reason}; `make debian13` unpacks one")
    return [] if reasons else list(with_the_fast_profile(crashes))


def moves(count: int) -> Iterator[Row]:
    """Move an idle guest of 256 MiB to and fro."""
    with cluster(MOVES, 1.0, BigLab) as found:
        moved = [found.move() for _ in range(count)]
        stopped, by_qemu = zip(*(m.stopped for m in moved))
        yield Row("live migration: stopped, median", _median(stopped), 0.3, "s")
        yield Row("  the longest", max(stopped), 0.3, "s")
        yield Row("  by QEMU's figures, the longest", max(by_qemu), 0.3, "s")
        yield Row("  the whole move, the longest", max(m.whole_s for m in moved), 3.0, "s")
        yield from _ended(found)


def marathon(count: int) -> Iterator[Row]:
    """Fail over, then move, again and again at speed 10; nobody helps."""
    with cluster(FAST, SPEED) as found:
        crashed = []
        for number in range(1, count + 1):
            if number % CRASH_EVERY:
                found.kill_vm()
            else:
                crashed.append(found.crash_host())
        yield Row("failovers in a row, at speed 10", count, count, "", MORE)
        if crashed:
            yield from _after_the_lease(crashed)
            yield Row("  refused starts", sum(each.refused for each in crashed), 0, "")
        for _ in range(count):
            found.move()
        yield Row("migrations in a row, at speed 10", count, count, "", MORE)
        yield from _ended(found)


def side_by_side(count: int, crashes: int) -> Iterator[Row]:
    """Have libvirt run the VM, and compare with agents that start QEMU themselves."""
    from he_fsm.chaos.strike_libvirt import LIBVIRT_KIT  # noqa: PLC0415 - optional
    from he_fsm.lab.libvirt.lab import LibvirtLab  # noqa: PLC0415 - optional

    found = {}
    for name, make, kit in (("QEMU", QemuLab, SANLOCK_KIT), ("libvirt", LibvirtLab, LIBVIRT_KIT)):
        with cluster(SIDE_BY_SIDE, 1.0, make, kit) as here:
            found[name] = (
                _median(here.kill_vm().executes_s for _ in range(count)),
                _median(here.move().ordered_s for _ in range(count)),
                _median(here.crash_host().after_lease_s for _ in range(crashes)),
            )
            yield from _ended(here)
    for number, (what, limit_s) in enumerate(MORE_WITH_LIBVIRT.items()):
        alone_s, libvirt_s = found["QEMU"][number], found["libvirt"][number]
        yield Row(f"{what}, QEMU alone, median", alone_s, None, "s")
        yield Row("  a domain of libvirt", libvirt_s, None, "s")
        yield Row("  more than QEMU alone", libvirt_s - alone_s, limit_s, "s")


def domain_marathon(count: int) -> Iterator[Row]:
    """Have libvirt move its domain again and again at speed 10, and see whether anything grows."""
    from he_fsm.chaos.strike_libvirt import LIBVIRT_KIT  # noqa: PLC0415 - optional
    from he_fsm.lab.libvirt.lab import LibvirtLab  # noqa: PLC0415 - optional

    with cluster(FAST, SPEED, LibvirtLab, LIBVIRT_KIT) as found:
        # Every host has had the VM once, and sent it away.
        for _ in range(len(found.lab.hosts) + 1):
            found.move()
        first = found.sizes()
        for _ in range(count):
            found.move()
        last = found.sizes()
        yield Row("domain: migrations in a row, at speed 10", count, count, "", MORE)
        for name in sorted(first):
            growth = Growth(name, first[name], last[name])
            print(growth)
            descriptors = growth.last.descriptors - growth.first.descriptors
            threads = growth.last.threads - growth.first.threads
            yield Row(f"  {name}: descriptors more", descriptors, GROWTH_MAX_DESCRIPTORS, "")
            yield Row(f"  {name}: threads more", threads, GROWTH_MAX_THREADS, "")
        yield from _ended(found)


def has_libvirt() -> bool:
    """Whether domains can be measured here; say why not."""
    reasons = LIBVIRT.missing(SPEED)
    for reason in reasons:
        print(f"libvirt is not measured: {reason}")
    return not reasons


def _after_the_lease(crashed: Sequence[Crash]) -> Iterator[Row]:
    """Say how soon the VM executed, the slowest, by both moments that a lease can be had at."""
    lease_s = max(each.after_lease_s for each in crashed)
    yield Row("host crash: executes after the lease can be had", lease_s, 1.5, "s")
    renewal_s = max(each.after_renewal_s for each in crashed)
    yield Row("  after the renewal, 8 and 2 x io_timeout, and 60 s", renewal_s, 1.5, "s")


def _ended(found: Cluster) -> Iterator[Row]:
    """End a cluster; doubles, damage, and processes that are left are no figures, but faults."""
    problems = found.end()
    for problem in problems:
        print(f"PROBLEM: {problem}")
    yield Row("  doubles, damage, processes left over", len(problems), 0, "")


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def main() -> int:
    """Measure, and print the table; 1: a limit does not hold, 2: it can't be measured here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50, help="failovers and migrations in a row")
    parser.add_argument("--moves", type=int, default=10, help="migrations on the true clock")
    parser.add_argument("--crashes", type=int, default=2, help="host crashes on the true clock")
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args()
    reasons = missing(SPEED)
    if reasons:
        sys.stderr.writelines(f"{reason}\n" for reason in reasons)
        return 2
    began = time.perf_counter()
    rows: list[Row] = []
    try:
        if options.only in (None, "true-clock"):
            rows += on_the_true_clock(kills=3, crashes=options.crashes)
        if options.only in (None, "fast"):
            rows += fast_rows(options.crashes)
        if options.only in (None, "moves"):
            rows += moves(options.moves)
        if options.only in (None, "libvirt", "domains") and has_libvirt():
            if options.only != "domains":
                rows += side_by_side(options.moves, options.crashes)
            if options.only != "libvirt":
                rows += domain_marathon(options.count)
        if options.only in (None, "marathon"):
            rows += marathon(options.count)
    except HeFsmError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    are_held = show(rows)
    print(f"\n{time.perf_counter() - began:.0f} s in all")
    return 0 if are_held else 1


if __name__ == "__main__":
    sys.exit(main())
