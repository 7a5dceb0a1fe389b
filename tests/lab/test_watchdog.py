"""The stand-in for wdmd(8): it resets a host that can't renew, and no other."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from he_fsm.lab import lease_sight, watchdog
from he_fsm.lab.lease_sight import OUTSIDER
from he_fsm.lab.sanlock.release import program
from he_fsm.lab.sanlock_process import SanlockProcess, faketime
from he_fsm.lab.watchdog import (
    ASK_TIMEOUT,
    GRACE,
    RECORD,
    SOCKET,
    STATUS,
    TEST_LIVE,
    Watchdog,
    behind,
)
from he_fsm.runtime.leases.sanlock.daemon.command import SanlockDaemon
from he_fsm.runtime.leases.sanlock.settings import RUN_DIR_VARIABLE, SanlockSettings
from he_fsm.testing.waiting import until

REGISTER = 1
# The grace is over in a tenth of a second.
SPEED = 500.0
GRACE_S = GRACE / SPEED
# Of the tests with sanlock.
SANLOCK_SPEED = 10.0
IO_TIMEOUT = 2
WHY_NOT = watchdog.why_not() or (
    "" if program() and faketime() else "sanlock or libfaketime is missing"
)


class Client:
    """A client of wdmd, as sanlock is one."""

    def __init__(self, folder: Path) -> None:
        # Its own clock is faster, and was at 0 before it began.
        self.began_at = time.monotonic() - 10
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(5)
        self.socket.connect(str(folder / SOCKET))
        self.send(REGISTER)

    def close(self) -> None:
        self.socket.close()

    def send(self, command: int, renewal: int = 0, expiry: int = 0) -> None:
        record = RECORD.pack(0x12345678, command, 0, 0, 0, 0, 0, renewal, expiry, b"lockspace")
        self.socket.sendall(record)

    def asks_for(self, timeout: int) -> tuple[int, int]:
        """Ask for a time-out, as sanlock does from 3.9 on; return command and number told."""
        record = RECORD.pack(0x12345678, ASK_TIMEOUT, 0, 0, 0, timeout, 0, 0, 0, b"")
        self.socket.sendall(record)
        answer = RECORD.unpack(self.socket.recv(RECORD.size, socket.MSG_WAITALL))
        return answer[1], answer[5]

    def has_status(self) -> tuple[int, int]:
        """Return interval and time-out; by then what was sent before is done as well."""
        self.send(STATUS)
        answer = RECORD.unpack(self.socket.recv(RECORD.size, socket.MSG_WAITALL))
        return answer[4], answer[5]

    def renews(self, left_s: float, late_s: float = 0.0) -> None:
        """Renew as of *late_s* ago: from then nothing expires for so many seconds of this clock."""
        renewal = round((time.monotonic() - self.began_at - late_s) * SPEED)
        self.send(TEST_LIVE, renewal, renewal + round(left_s * SPEED))

    def clears(self) -> None:
        self.send(TEST_LIVE)
        self.has_status()


@pytest.fixture
def fired() -> threading.Event:
    return threading.Event()


@pytest.fixture
def stand_in(tmp_path: Path, fired: threading.Event) -> Iterator[Watchdog]:
    stand_in = Watchdog(tmp_path, SPEED, fired.set)
    yield stand_in
    stand_in.close()
    assert not (tmp_path / SOCKET).exists()


@pytest.fixture
def client(stand_in: Watchdog, tmp_path: Path) -> Iterator[Client]:
    assert not stand_in.has_fired
    with closing(Client(tmp_path)) as client:
        yield client


def test_it_calls_itself_a_watchdog_that_fires_after_a_minute(client: Client) -> None:
    assert client.has_status() == (10, 60)


def test_it_fires_after_the_time_that_it_is_asked_for(
    client: Client, fired: threading.Event
) -> None:
    assert client.asks_for(12) == (ASK_TIMEOUT, 12)
    assert client.has_status() == (2, 12)
    began = time.monotonic()
    client.renews(0.2)
    assert fired.wait(0.2 + GRACE_S)
    assert time.monotonic() - began >= 0.2 + 10 / SPEED


def test_a_host_that_renews_no_more_is_reset_when_the_grace_is_over(
    client: Client, stand_in: Watchdog, fired: threading.Event
) -> None:
    began = time.monotonic()
    client.renews(0.2)
    assert fired.wait(5)
    assert time.monotonic() - began >= 0.2 + GRACE_S
    until(lambda: stand_in.has_fired)


def test_a_host_that_renews_is_not_reset(client: Client, fired: threading.Event) -> None:
    ends_at = time.monotonic() + 4 * GRACE_S
    while time.monotonic() < ends_at:
        client.renews(60)
    client.renews(120)
    assert not fired.is_set()


def test_a_renewal_that_took_long_counts_from_its_beginning(
    client: Client, fired: threading.Event
) -> None:
    client.renews(60)
    # Storage that hung has let it through at last; by now others count on the end.
    client.renews(5.0, late_s=5.0 + GRACE_S)
    assert fired.wait(3)


def test_a_client_that_has_cleared_its_time_may_go(
    client: Client, tmp_path: Path, fired: threading.Event
) -> None:
    client.renews(0.01)
    client.clears()
    client.close()
    assert not fired.wait(3 * GRACE_S)
    # It serves the next one.
    with closing(Client(tmp_path)) as other:
        assert other.has_status() == (10, 60)


def test_a_client_that_is_gone_with_its_time_running_brings_the_reset(
    client: Client, tmp_path: Path, fired: threading.Event
) -> None:
    client.renews(0.05)
    client.close()
    # Another one in its place does not help.
    with closing(Client(tmp_path)) as other:
        other.renews(60)
        assert fired.wait(5)


def test_a_host_without_power_is_not_reset(
    client: Client, stand_in: Watchdog, fired: threading.Event
) -> None:
    client.renews(0.01)
    client.has_status()
    stand_in.close()
    assert not fired.wait(2 * GRACE_S)
    assert not stand_in.has_fired


@pytest.mark.skipif(
    bool(watchdog.why_not(sets_timeout=True)), reason="the machine has no overlays, or no root"
)
def test_a_daemon_behind_it_finds_a_configuration_of_its_own(tmp_path: Path) -> None:
    etc = watchdog.configure(tmp_path, 10)
    words = ["cat", "/etc/sanlock/sanlock.conf", "/etc/hostname"]
    done = subprocess.run(behind(None, words, etc), capture_output=True, text=True, check=True)
    assert done.stdout.startswith("watchdog_fire_timeout = 10\n")
    # Nothing of it is seen outside, and all else is as it was.
    assert done.stdout.endswith(Path("/etc/hostname").read_text())


# Behind real daemons.


class Host:
    """A sanlock daemon behind a stand-in, and its lockspace."""

    def __init__(self, folder: Path, fired: threading.Event) -> None:
        self.watchdog = Watchdog(folder / "wdmd", SANLOCK_SPEED, fired.set)
        path = str(folder / "leases")
        self.settings = SanlockSettings(
            lockspace="he-fsm",
            path=path,
            resource="engine",
            resource_path=path,
            run_dir=str(folder / "run"),
            vm_lock=str(folder / "engine.lock"),
            clock_rate=SANLOCK_SPEED,
        )
        self.daemon = SanlockProcess(
            folder / "run",
            "host1",
            SANLOCK_SPEED,
            has_watchdog=True,
            within=lambda words: behind(folder / "wdmd", words),
        )
        lease_sight.set_up(self.settings, IO_TIMEOUT)
        lease_sight.join(self.settings, IO_TIMEOUT)


@pytest.fixture
def host(tmp_path: Path, fired: threading.Event) -> Iterator[Host]:
    host = Host(tmp_path, fired)
    yield host
    host.daemon.kill()
    host.watchdog.close()


@pytest.mark.sanlock
@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here")
@pytest.mark.parametrize("word", ["kill", "stop"])
def test_a_daemon_that_renews_no_more_has_its_host_reset(
    host: Host, fired: threading.Event, word: str
) -> None:
    assert SanlockDaemon(host.settings).status().has_watchdog
    assert not fired.is_set()
    if word == "kill":
        host.daemon.kill()
    else:
        host.daemon.process.send_signal(signal.SIGSTOP)
    struck_at = time.monotonic()
    assert fired.wait(20)
    # Not before the daemon could have ended its VMs: it takes 40 s for that.
    assert time.monotonic() - struck_at > (6 * IO_TIMEOUT + 40) / SANLOCK_SPEED


@pytest.mark.sanlock
@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here")
def test_a_host_that_leaves_is_not_reset(host: Host, fired: threading.Event) -> None:
    space = f"{host.settings.lockspace}:{OUTSIDER}:{host.settings.path}:0"
    subprocess.run(
        [str(program()), "client", "rem_lockspace", "-s", space],
        env={RUN_DIR_VARIABLE: host.settings.run_dir},
        capture_output=True,
        check=True,
    )
    host.daemon.kill()
    assert not fired.wait((8 * IO_TIMEOUT + 60) / SANLOCK_SPEED)
