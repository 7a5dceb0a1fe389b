"""What a daemon says of itself, in the words of each release."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Optional

import pytest

from he_fsm.errors import LeaseHeldError, LeaseLostError, LockspaceError
from he_fsm.runtime.leases.sanlock.daemon.command import Held, SanlockDaemon
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings

# `sanlock client status -D` without a lockspace, shortened.
OF_3_8 = """daemon 3e5b2a host1
    our_host_name=host1
    use_watchdog=1
    monotime=4711
    helper_pid=42
p -1 helper
"""
OF_3_9 = OF_3_8.replace(
    "    monotime", "    watchdog_fire_timeout=10\n    kill_grace_seconds=0\n    monotime"
)


def daemon_that_says(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SanlockDaemon:
    """Return a daemon whose command is a script that prints *text*."""
    (tmp_path / "said").write_text(text)
    command = tmp_path / "sanlock"
    command.write_text(f"#!/bin/sh\ncat {tmp_path / 'said'}\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    settings = SanlockSettings(
        lockspace="he", path="/leases", resource="vm", resource_path="/leases", vm_lock="/none"
    )
    return SanlockDaemon(settings)


def test_the_times_that_a_daemon_goes_by_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = daemon_that_says(OF_3_9, tmp_path, monkeypatch).status()
    assert (status.watchdog, status.kill_grace, status.now) == (10, 0, 4711)


def test_a_daemon_before_3_9_shows_no_times_and_has_60_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = daemon_that_says(OF_3_8, tmp_path, monkeypatch).status()
    assert (status.watchdog, status.kill_grace) == (60, None)


def test_processes_and_the_leases_that_they_have_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As sanlock 3.8.5 says it of a process that libvirt has registered, and of one that waits."""
    said = OF_3_8 + (
        "p 4711 HostedEngine\n    pid=4711\np 4712 \n    pid=4712\n"
        "r he:vm:/srv/a:b/leases:1048576:7 p 4711\n    list=held\n    lver=7\n"
        "r he:other:/leases:2097152:1 p 4712\n    list=add\n    lver=1\n"
    )
    status = daemon_that_says(said, tmp_path, monkeypatch).status()
    assert status.clients == {4711, 4712}
    assert status.held == (Held(lockspace="he", resource="vm", pid=4711, version=7),)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("acquire pid 4711\nacquire done 0\n", None),
        ("acquire pid 4711\nacquire done -243\n", LeaseHeldError),
        ("acquire pid 4711\nacquire done -3\n", LeaseLostError),
    ],
)
def test_a_lease_taken_for_a_process(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    kind: Optional[type[LockspaceError]],
) -> None:
    daemon = daemon_that_says(said, tmp_path, monkeypatch)
    if kind is None:
        daemon.acquire_for(4711)
    else:
        with pytest.raises(kind):
            daemon.acquire_for(4711)
