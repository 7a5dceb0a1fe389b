"""A quiet host hardly ever starts a process to know of its leases, and misses nothing by that."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.snapshot import OwnerState
from he_fsm.testing.leases import begin, joins, said
from he_fsm.testing.waiting import until
from tests.runtime.leases.sanlock.odd_program import Commands, counting
from tests.runtime.leases.sanlock.sanlock_lab import LOOP_S, NEEDS_SANLOCK, SPEED, Host, SanlockLab

pytestmark = NEEDS_SANLOCK

BLOCK = b"\1" * SLOT_BYTES
# How often the broker looks at the leases, and for how many loops these tests do.
LOOK_S = 1 / SPEED
LOOPS = 15


class QuietLab(SanlockLab):
    """Two hosts with sanlock's own I/O timeout, which a loop of 10 s is as long as."""

    io_timeout_s = LOOP_S

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "whiteboard").write_bytes(bytes(4 * SLOT_BYTES))
        self.add(1, "host1")
        self.add(2, "host2")
        until(lambda: all(joins(host.client) for host in self.hosts), 30)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    commands = counting(tmp_path)
    monkeypatch.setenv("PATH", f"{commands.program.parent}:{os.environ['PATH']}")
    return commands


@pytest.fixture
def lab(tmp_path: Path, commands: Commands) -> Iterator[QuietLab]:
    assert commands.count() == 0
    lab = QuietLab(tmp_path)
    yield lab
    lab.close()


def looks_for(host: Host, seconds: float, commands: Commands) -> int:
    """Look and write as a broker does; return how many commands that took."""
    before, began_at, written_at = commands.count(), time.monotonic(), 0.0
    while time.monotonic() - began_at < seconds:
        host.client.status()
        if time.monotonic() - written_at > LOOP_S:
            host.client.write_slot(1, BLOCK)
            written_at = time.monotonic()
        time.sleep(LOOK_S)
    return commands.count() - before


def is_quiet(host: Host, commands: Commands) -> bool:
    """Return whether a look takes no command, once the hosts have seen each other renew."""
    before = commands.count()
    host.client.status()
    return commands.count() == before


def test_a_quiet_host_starts_less_than_one_command_a_loop(
    lab: QuietLab, commands: Commands
) -> None:
    host = lab.at(1)
    until(lambda: is_quiet(host, commands), 30)
    assert looks_for(host, LOOPS * LOOP_S, commands) < LOOPS


def test_what_changes_is_seen_with_the_next_look(lab: QuietLab, commands: Commands) -> None:
    host = lab.at(1)
    until(lambda: is_quiet(host, commands), 30)
    assert host.client.status().view.owner is None
    vm = said(*begin(lab.holder(2)))
    try:
        assert host.client.status().view.owner == 2
        until(lambda: is_quiet(host, commands), 30)
        assert host.client.status().view.owner_state is OwnerState.LIVE
    finally:
        vm.kill()
    until(lambda: lab.at(2).client.status().view.owner is None)
    assert host.client.status().view.owner is None


def test_a_host_that_falls_silent_is_noticed_as_soon_as_by_the_command(
    lab: QuietLab, commands: Commands
) -> None:
    host = lab.at(1)
    vm = said(*begin(lab.holder(2)))
    try:
        until(lambda: is_quiet(host, commands), 30)
        lab.at(2).daemon.stop()
        stopped_at = time.monotonic()
        until(lambda: host.client.status().view.owner_state is OwnerState.FAILING, 30)
        # 5 I/O timeouts after the last renewal, which was two earlier at most; a look may be late.
        late_s = time.monotonic() - stopped_at
        assert 3 * LOOP_S - 2 / SPEED < late_s < 5 * LOOP_S + 2 * LOOP_S + 1.0
        # From when on the lease is free is known exactly: by the command.
        assert not is_quiet(host, commands)
        free_at = host.client.status().view.free_at
        asked_free_at = host.client.status().view.free_at
        assert free_at is not None
        assert asked_free_at == pytest.approx(free_at, abs=1 / SPEED)
    finally:
        lab.at(2).daemon.go_on()
        vm.kill()


def test_a_host_that_has_lost_its_daemon_does_not_count_as_quiet(
    lab: QuietLab, commands: Commands
) -> None:
    host = lab.at(1)
    until(lambda: is_quiet(host, commands), 30)
    host.daemon.kill()
    with pytest.raises(Exception, match="sanlock daemon does not run"):
        host.client.status()
