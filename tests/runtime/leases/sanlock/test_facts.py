"""What the real daemon does that the simulator counts on; the table is in docs/sanlock.md."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.testing.leases import begin, joins, said
from he_fsm.testing.waiting import until
from tests.runtime.leases.sanlock.sanlock_lab import (
    IO_TIMEOUT,
    NEEDS_SANLOCK,
    Host,
    SanlockLab,
    python,
    since,
)

pytestmark = NEEDS_SANLOCK

# Prints this host's own timestamp as the module shows it, and the last renewal before and after.
OWN_TIMESTAMP = """
from he_fsm.runtime.leases.sanlock.daemon.command import SanlockDaemon
from he_fsm.runtime.leases.sanlock.daemon.module import call
before = SanlockDaemon(settings).status().spaces[0].renewed_at
(own,) = call(settings.run_dir, "get_hosts", settings.lockspace.encode(), 1, what="ask")
after = SanlockDaemon(settings).status().spaces[0].renewed_at
print(before, own["timestamp"], after)
"""
# Seconds that sanlock gives a process between SIGTERM and SIGKILL (its option -g).
GRACE = 40
DEAF = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)",
)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[SanlockLab]:
    lab = SanlockLab(tmp_path)
    yield lab
    lab.close()


def joined(lab: SanlockLab) -> Host:
    host = lab.add(1, "host1")
    until(lambda: joins(host.client))
    return host


def renewed_at(lab: SanlockLab) -> int:
    """Return the last renewal of host 1, on its daemon's clock."""
    (space,) = lab.daemon_of(1).status().spaces
    return space.renewed_at


def test_a_free_id_is_watched_for_two_io_timeouts_before_it_is_held(lab: SanlockLab) -> None:
    host = lab.add(1, "host1")
    began = time.monotonic()
    until(lambda: joins(host.client))
    assert since(began) >= 2 * IO_TIMEOUT


def test_a_host_sees_its_own_timestamp_one_renewal_late(lab: SanlockLab) -> None:
    host = joined(lab)
    first = renewed_at(lab)
    until(lambda: renewed_at(lab) > first + 2 * IO_TIMEOUT + 1)
    before, timestamp, after = map(int, python(OWN_TIMESTAMP, host.settings).stdout.split())
    # The one before the last: two I/O timeouts earlier at least.
    assert timestamp <= after - 2 * IO_TIMEOUT
    assert timestamp >= before - 2 * (2 * IO_TIMEOUT + 2)


def test_a_daemon_with_a_lockspace_is_deaf_to_sigterm_and_goes_on_renewing(lab: SanlockLab) -> None:
    host = joined(lab)
    before = renewed_at(lab)
    host.daemon.process.send_signal(signal.SIGTERM)
    until(lambda: renewed_at(lab) > before + 4 * IO_TIMEOUT)
    assert host.daemon.process.poll() is None


def test_a_vm_that_does_not_hear_sigterm_is_killed_40_s_later_and_still_in_time(
    lab: SanlockLab,
) -> None:
    joined(lab)
    vm = said(*begin(lab.holder(1), DEAF))
    try:
        assert vm.report == {"lease": "taken"}
        lost_at = time.monotonic()
        # Reads come back empty from here on, as from a device that has gone.
        with lab.disk.open("r+b") as disk:
            disk.truncate(0)
        assert vm.process.wait(30) == -signal.SIGKILL
        lived = since(lost_at)
        # Renewed up to two I/O timeouts before; others may have the lease after 8 of them + 60 s.
        assert 6 * IO_TIMEOUT + GRACE - 1 <= lived < 8 * IO_TIMEOUT + 60
    finally:
        vm.kill()


def test_a_file_that_is_moved_away_is_renewed_all_the_same_and_gives_no_lease(
    lab: SanlockLab,
) -> None:
    joined(lab)
    lab.disk.rename(lab.disk.with_name("moved"))
    before = renewed_at(lab)
    until(lambda: renewed_at(lab) > before + 4 * IO_TIMEOUT)
    vm = said(*begin(lab.holder(1)))
    assert vm.process.wait() == 4
    assert vm.report["lease"] == "error"
    assert vm.report["detail"].endswith("there is no such file or device (2)")
