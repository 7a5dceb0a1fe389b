"""A host that is about to be reset or to lose its id says so: real daemons, and a watchdog."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Optional

import attrs
import pytest

from he_fsm.errors import LockspaceError, SanlockDownError, StorageError
from he_fsm.lab import watchdog
from he_fsm.lab.sanlock.release import program
from he_fsm.lab.sanlock_process import SanlockProcess
from he_fsm.lab.watchdog import Watchdog, behind
from he_fsm.runtime.leases.sanlock.settings import RUN_DIR_VARIABLE, SanlockSettings
from he_fsm.runtime.leases.sanlock.watching.doom import ENDED, LATE, LOST
from he_fsm.runtime.storage.client import StorageClient
from he_fsm.runtime.storage.protocol import StorageSettings
from he_fsm.snapshot import LeaseView
from he_fsm.testing.leases import Vm, begin, joins, said
from he_fsm.testing.waiting import until
from tests.runtime.leases.sanlock.sanlock_lab import (
    IO_TIMEOUT,
    NEEDS_SANLOCK,
    SPEED,
    Host,
    SanlockLab,
    since,
)

pytestmark = NEEDS_SANLOCK

WHY_NO_WATCHDOG = watchdog.why_not()
NEEDS_WATCHDOG = pytest.mark.skipif(bool(WHY_NO_WATCHDOG), reason=WHY_NO_WATCHDOG or "it is here")
# A process whose lease is not free before its child has ended as well.
WITH_A_CHILD = ("/bin/sh", "-c", "sleep 30 & exec sleep 600")


class TwoFiles(SanlockLab):
    """The host ids' leases are in one file, the engine's lease is in another."""

    def settings(self, run_dir: Path, vm_lock: Path) -> SanlockSettings:
        settings = super().settings(run_dir, vm_lock)
        return attrs.evolve(
            settings, resource_path=str(self.folder / "engine-lease"), resource_offset=0
        )


class Watched(SanlockLab):
    """A watchdog of its own stands behind each host's daemons."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.watchdogs: dict[Path, Watchdog] = {}

    def start(
        self, run_dir: Path, name: str, *, has_watchdog: bool = True, speed: float = SPEED
    ) -> SanlockProcess:
        run_dir.mkdir(parents=True, exist_ok=True)
        folder = run_dir / "wdmd"
        if run_dir not in self.watchdogs:
            self.watchdogs[run_dir] = Watchdog(folder, speed, lambda: None)
        daemon = SanlockProcess(
            run_dir,
            name,
            speed,
            has_watchdog=has_watchdog,
            within=lambda words: behind(folder, words),
        )
        self.daemons.append(daemon)
        return daemon

    def close(self) -> None:
        super().close()
        for each in self.watchdogs.values():
            each.close()


class WatchedAtTrueSpeed(Watched):
    """The daemons have the machine's clock, as they have in production."""

    io_timeout_s = 1.0
    watchdog_s = 60.0

    def start(
        self, run_dir: Path, name: str, *, has_watchdog: bool = True, speed: float = 1.0
    ) -> SanlockProcess:
        return super().start(run_dir, name, has_watchdog=has_watchdog, speed=speed)

    def settings(self, run_dir: Path, vm_lock: Path) -> SanlockSettings:
        return attrs.evolve(super().settings(run_dir, vm_lock), clock_rate=1.0)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[type[SanlockLab]], SanlockLab]]:
    made: list[SanlockLab] = []

    def make(kind: type[SanlockLab]) -> SanlockLab:
        made.append(kind(tmp_path))
        return made[-1]

    yield make
    for lab in made:
        lab.close()


@pytest.fixture
def vms() -> Iterator[list[Vm]]:
    started: list[Vm] = []
    yield started
    for vm in started:
        vm.kill()


def joined(lab: SanlockLab) -> Host:
    host = lab.add(1, "host1")
    until(lambda: joins(host.client))
    return host


def seen(host: Host) -> Optional[LeaseView]:
    """Return what the lease manager says; None: nothing, for a moment."""
    try:
        return host.client.status().view
    except (LockspaceError, StorageError):
        return None


def doom_of(host: Host) -> str:
    view = seen(host)
    return "" if view is None else view.doom


def again(lab: SanlockLab, host: Host) -> Host:
    """Return the host with a new storage worker, as after a restart of its broker."""
    host.client.close()
    settings: StorageSettings = host.client._settings
    other = Host(host.daemon, host.settings, StorageClient(settings, 20.0))
    lab.hosts.append(other)
    return other


def in_vain(lab: SanlockLab, host: Host) -> None:
    """Make another process than the agent remove the lockspace, without waiting for it."""
    words = [str(program()), "client", "rem_lockspace", "-s", f"he:1:{lab.disk}:0"]
    environment = {RUN_DIR_VARIABLE: host.settings.run_dir}
    threading.Thread(
        target=lambda: subprocess.run(words, env=environment, capture_output=True, check=False),
        daemon=True,
    ).start()


# The watchdog.


@NEEDS_WATCHDOG
def test_a_host_whose_daemon_was_killed_is_doomed_though_a_new_one_has_joined(
    make: Callable[[type[SanlockLab]], SanlockLab],
) -> None:
    lab = make(Watched)
    assert isinstance(lab, Watched)
    host = joined(lab)
    before = host.client.status().view
    assert (before.joined, before.doomed_until, before.doom) == (True, None, "")
    host.daemon.kill()
    with pytest.raises(SanlockDownError):
        host.client.status()
    lab.start(Path(host.settings.run_dir), "host1")
    until(lambda: joins(host.client))
    view = host.client.status().view
    assert (view.joined, view.doom) == (True, ENDED)
    # Whoever serves the storage next knows it as well.
    assert again(lab, host).client.status().view.doomed_until == view.doomed_until
    until(lambda: lab.watchdogs[Path(host.settings.run_dir)].has_fired)
    assert view.doomed_until is not None
    assert time.monotonic() < view.doomed_until


@NEEDS_WATCHDOG
def test_a_doom_is_over_when_its_time_is_over(
    make: Callable[[type[SanlockLab]], SanlockLab],
) -> None:
    lab = make(Watched)
    host = joined(lab)
    host.client.status()
    host.daemon.kill()
    lab.start(Path(host.settings.run_dir), "host1")
    until(lambda: doom_of(host) == ENDED)
    # Nothing has reset this machine.
    until(lambda: (view := seen(host)) is not None and view.doomed_until is None)


@NEEDS_WATCHDOG
def test_a_host_that_had_given_its_id_back_is_not_doomed_by_its_daemons_end(
    make: Callable[[type[SanlockLab]], SanlockLab],
) -> None:
    lab = make(Watched)
    host = joined(lab)
    host.client.status()
    # By somebody else, so that nobody of ours knows of it.
    subprocess.run(
        [str(program()), "client", "rem_lockspace", "-s", f"he:1:{lab.disk}:0"],
        env={RUN_DIR_VARIABLE: host.settings.run_dir},
        capture_output=True,
        check=True,
    )
    host.daemon.kill()
    lab.start(Path(host.settings.run_dir), "host1")
    until(lambda: joins(host.client))
    assert host.client.status().view.doomed_until is None


def test_without_a_watchdog_nobody_resets_the_host(
    make: Callable[[type[SanlockLab]], SanlockLab],
) -> None:
    lab = make(SanlockLab)
    host = joined(lab)
    host.client.status()
    host.daemon.kill()
    lab.start(Path(host.settings.run_dir), "host1")
    until(lambda: joins(host.client))
    assert host.client.status().view.doomed_until is None


@NEEDS_WATCHDOG
def test_a_daemon_that_ended_before_the_broker_began_is_found_out_by_its_lease(
    make: Callable[[type[SanlockLab]], SanlockLab],
) -> None:
    lab = make(WatchedAtTrueSpeed)
    host = joined(lab)
    assert doom_of(again(lab, host)) == ""
    host.client.close()
    host.daemon.kill()
    lab.start(Path(host.settings.run_dir), "host1")
    late = again(lab, host)
    view = late.client.status().view
    assert (view.joined, view.doom) == (False, ENDED)
    assert view.doomed_until is not None
    assert 50 < view.doomed_until - time.monotonic() <= 68


# The host id.


def test_a_host_whose_id_is_being_removed_is_doomed(
    make: Callable[[type[SanlockLab]], SanlockLab], vms: list[Vm]
) -> None:
    lab = make(SanlockLab)
    host = joined(lab)
    vms.append(said(*begin(lab.holder(1), WITH_A_CHILD)))
    assert vms[0].report == {"lease": "taken"}
    assert doom_of(host) == ""
    in_vain(lab, host)
    until(lambda: doom_of(host) == LOST)


def test_a_host_whose_id_is_lost_is_doomed(
    make: Callable[[type[SanlockLab]], SanlockLab], vms: list[Vm]
) -> None:
    lab = make(SanlockLab)
    host = joined(lab)
    vms.append(said(*begin(lab.holder(1), WITH_A_CHILD)))
    assert vms[0].report == {"lease": "taken"}
    host.daemon.stop()
    stopped_at = time.monotonic()
    until(lambda: since(stopped_at) > 8 * IO_TIMEOUT)
    host.daemon.go_on()
    until(lambda: doom_of(host) == LOST)
    view = seen(host)
    assert view is not None
    assert not view.joined


def test_a_host_that_can_not_renew_is_doomed_before_it_has_lost_its_id(
    make: Callable[[type[SanlockLab]], SanlockLab],
) -> None:
    lab = make(TwoFiles)
    host = joined(lab)
    assert doom_of(host) == ""
    # Reads come back empty from here on, as from a device that has gone.
    with lab.disk.open("r+b") as disk:
        disk.truncate(0)
    found: list[LeaseView] = []

    def late() -> bool:
        view = seen(host)
        if view is not None and view.doom == LATE:
            found.append(view)
        return bool(found)

    until(late)
    assert found[0].joined
    assert found[0].doomed_until is not None
    assert time.monotonic() < found[0].doomed_until
