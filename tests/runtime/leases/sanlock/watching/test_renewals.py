"""A renewal that is seen on the storage counts only while this host's daemon holds the id."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_fsm.testing.leases import joins
from he_fsm.testing.waiting import until
from tests.runtime.leases.sanlock.sanlock_lab import NEEDS_SANLOCK, SanlockLab, python

pytestmark = NEEDS_SANLOCK

# Looks until two renewals of the id have been seen; prints whether one of them was believed. None
# is believed to be later than the look before, which did not show it.
SCRIPT = """
import time
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.watching.renewals import Renewals

renewals = Renewals(settings, {host_id}, Rules(io_timeout_s=0.2, watchdog_s=6.0), 0.05)
sectors, believed, before = set(), False, time.monotonic()
until = time.monotonic() + 15.0
while len(sectors) < 3 and time.monotonic() < until:
    now = time.monotonic()
    renewed_at = renewals.last(now)
    if renewed_at is not None:
        believed = True
        assert renewed_at <= before, (renewed_at, before)
    before = now
    sectors.add(renewals._sector)
    time.sleep(0.05)
assert len(sectors) == 3, "the id is not renewed"
print(believed)
"""


@pytest.mark.parametrize(("host_id", "is_believed"), [(1, True), (2, False)])
def test_a_change_is_believed_only_while_the_daemon_of_this_host_holds_the_id(
    tmp_path: Path, host_id: int, is_believed: bool
) -> None:
    lab = SanlockLab(tmp_path)
    try:
        for each in (1, 2):
            lab.add(each, f"host{each}")
        until(lambda: all(joins(host.client) for host in lab.hosts), 30)
        # Both ids are renewed on the storage; the daemon of host 1 holds only its own.
        looked = python(SCRIPT.format(host_id=host_id), lab.at(1).settings)
        assert looked.stdout == f"{is_believed}\n", looked.stderr
    finally:
        lab.close()
