"""Messages say what to do next, in words that a reader knows."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable

import pytest

from he_fsm.document.units import short_duration
from he_fsm.errors import BrokerError
from he_fsm.runtime.broker.client import BrokerClient
from tests.cli.conftest import Ran, environment

NOBODY = 65534


def scenario(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "s.yaml"
    path.write_text(f"scenarios: [{{name: a, {text}}}]\n")
    return path


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("1 hour", "1h"),
        ("1 year", "1y"),
        ("10 minutes", "10m"),
        ("1 hour 30 min", "1h30m"),
        ("1 hour and 30 minutes", "1h30m"),
        ("2 weeks", "14d"),
        ("3 Days", "3d"),
        ("500 msec", "500ms"),
        ("soon", ""),
        ("1 fortnight", ""),
    ],
)
def test_a_time_with_its_unit_spelt_out_says_how_to_write_it(
    text: str, short: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    assert short_duration(text) == short
    said = refused("simulate", scenario(tmp_path, f"hosts: 1, until: {text}"))
    assert f"got '{text}'" in said
    assert said.endswith(f": write {short}") == bool(short)


def test_hosts_are_known_by_the_names_that_the_output_shows(
    run: Callable[..., Ran], refused: Callable[..., str], tmp_path: Path
) -> None:
    hosts = "hosts: [{id: 1, hostname: node1.example.com}, {id: 2}], engine: {running_on: 1}"
    entry = "timeline: [{at: 5s, host: node1.example.com, power: off}]"
    ran = run("simulate", scenario(tmp_path, f"{hosts}, {entry}, until: 1m"))
    assert (ran.status, "host 1    fault" in ran.out) == (0, True)
    expect = "expect: [{at: 10s, score: {node1.example.com: 2400, host2: 2400}}]"
    assert run("simulate", scenario(tmp_path, f"{hosts}, {expect}")).status == 0
    entry = "timeline: [{at: 5s, host: node7.example.com, power: off}]"
    said = refused("simulate", scenario(tmp_path, f"{hosts}, {entry}"))
    assert "no host is named 'node7.example.com', did you mean 'node1.example.com'?" in said
    # A hostname that two hosts share stands for neither.
    hosts = "hosts: [{id: 1, hostname: h}, {id: 2, hostname: h}]"
    entry = "timeline: [{at: 0, host: h, power: off}]"
    said = refused("simulate", scenario(tmp_path, f"{hosts}, {entry}"))
    assert "no host is named 'h'" in said


def test_a_key_without_its_section_is_found(refused: Callable[..., str], tmp_path: Path) -> None:
    path = scenario(tmp_path, "hosts: 1")
    for key in ("world.io_timeout", "policy.migration_threshold", "engine.memory"):
        bare = key.partition(".")[2]
        assert f"did you mean '{key}'?" in refused("simulate", path, "--set", f"{bare}=5")
    campaign = tmp_path / "c.yaml"
    campaign.write_text(
        "campaign: {name: c, hosts: 2, faults: [{cause: vm, mtbf: 1d}], vary: {io_timeout: [5s]}}\n"
    )
    said = refused("campaign", campaign)
    assert "this can't be varied, did you mean 'world.io_timeout'?" in said


def asked_by_nobody(path: Path) -> str:
    """Return what the broker's client says to a user who is nobody."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            BrokerClient(str(path), 1.0).status()
        except BrokerError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read, "rb") as pipe:
        return pipe.read().decode()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_user_outside_the_group_is_told_of_the_group() -> None:
    # Others may look into no folder above a test's own.
    folder = Path(tempfile.mkdtemp(prefix="he-fsm-test-"))
    try:
        folder.chmod(0o750)
        said = asked_by_nobody(folder / "broker.sock")
    finally:
        folder.rmdir()
    assert said.startswith("you are not in the group root, which may use the broker's socket: ")
    assert said.endswith("broker.sock: permission denied)")


def test_an_output_that_fails_is_named() -> None:
    code = (
        "import click; from he_fsm.cli.running import run\n"
        "@click.command()\ndef fails():\n    open('/dev/null/file', 'w')\n"
        "run(fails, 'he-fsm')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment({}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = "he-fsm: can't write /dev/null/file: Not a directory\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_each_daemon_lists_its_own_exit_statuses() -> None:
    for name, is_listed in (("agent", True), ("broker", False)):
        code = f"from he_fsm.cli.daemons import {name}; {name}()"
        done = subprocess.run(
            [sys.executable, "-c", code, "--help"],
            env=environment({}),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert ("superseded" in done.stdout) == is_listed
