from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.runtime.service.sd_notify import SystemdNotifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify"))
        server.settimeout(10)
        yield server


def heard(manager: socket.socket) -> str:
    return manager.recv(4096).decode()


def test_the_manager_hears_how_the_daemon_is(manager: socket.socket) -> None:
    systemd = SystemdNotifier({"NOTIFY_SOCKET": manager.getsockname()})
    systemd.ready()
    assert heard(manager) == "READY=1"
    systemd.status("EngineUp,\nscore 2400")
    assert heard(manager) == "STATUS=EngineUp, score 2400"
    systemd.stopping()
    assert heard(manager) == "STOPPING=1"


def test_a_reload_carries_the_monotonic_time(manager: socket.socket) -> None:
    systemd = SystemdNotifier({"NOTIFY_SOCKET": manager.getsockname()})
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    systemd.reloading()
    first, second = heard(manager).split("\n")
    assert first == "RELOADING=1"
    assert second.startswith("MONOTONIC_USEC=")
    assert before <= int(second.partition("=")[2]) <= before + 10_000_000


def test_an_abstract_socket_is_found() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"\0he-fsm-test-{os.getpid()}")
        server.settimeout(10)
        SystemdNotifier({"NOTIFY_SOCKET": f"@he-fsm-test-{os.getpid()}"}).ready()
        assert heard(server) == "READY=1"


@pytest.mark.parametrize("pid", [{}, {"WATCHDOG_PID": str(os.getpid())}])
def test_the_watchdog_is_told_where_it_waits(manager: socket.socket, pid: dict[str, str]) -> None:
    systemd = SystemdNotifier(
        {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "30000000", **pid}
    )
    assert systemd.watchdog_interval_s == 30.0
    systemd.watchdog()
    assert heard(manager) == "WATCHDOG=1"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
    ],
)
def test_a_watchdog_that_does_not_wait_is_told_nothing(
    manager: socket.socket, environ: dict[str, str]
) -> None:
    systemd = SystemdNotifier({"NOTIFY_SOCKET": manager.getsockname(), **environ})
    assert systemd.watchdog_interval_s is None
    systemd.watchdog()
    systemd.ready()
    assert heard(manager) == "READY=1"


@pytest.mark.parametrize("address", ["", "vsock:2:1", "/nowhere/at/all"])
def test_without_a_manager_nothing_happens(address: str) -> None:
    systemd = SystemdNotifier({"NOTIFY_SOCKET": address})
    systemd.ready()
    systemd.status("nobody hears it")


def test_a_manager_that_does_not_read_is_not_waited_for(manager: socket.socket) -> None:
    systemd = SystemdNotifier({"NOTIFY_SOCKET": manager.getsockname()})
    began_at = time.monotonic()
    for _ in range(2000):
        systemd.status("x" * 1000)
    assert time.monotonic() - began_at < 10


def test_children_do_not_speak_in_the_daemons_name(manager: socket.socket) -> None:
    environ = {
        "NOTIFY_SOCKET": manager.getsockname(),
        "WATCHDOG_USEC": "1000000",
        "WATCHDOG_PID": str(os.getpid()),
        "PATH": "/usr/bin",
    }
    SystemdNotifier(environ)
    assert environ == {"PATH": "/usr/bin"}
