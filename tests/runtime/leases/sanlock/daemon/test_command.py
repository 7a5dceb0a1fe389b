"""What a daemon says of itself, in the words of each release."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from he_fsm.runtime.leases.sanlock.daemon.command import SanlockDaemon
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
