"""`he-fsm notify test`: a real mail server and a real hook get one message, or why not is said."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiosmtpd.controller
import aiosmtpd.handlers
import pytest

from tests.runtime.hypervisors.process.embedded_hosts import free_port

CODE = "from he_fsm.cli.main import main; main()"


class Kept(aiosmtpd.handlers.Sink):
    """Keeps what arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[str] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: object) -> str:  # noqa: N802
        self.mails.append(getattr(envelope, "content", b"").decode())
        return "250 taken"


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def port(kept: Kept) -> Iterator[int]:
    server = aiosmtpd.controller.Controller(kept, hostname="127.0.0.1", port=free_port())
    server.start()
    yield int(server.port)
    server.stop()


def run(folder: Path, notify: str, *words: str) -> subprocess.CompletedProcess[str]:
    path = folder / "he-fsm.yaml"
    path.write_text(
        f"host: {{id: 1, hostname: node1}}\novirt: null\nstorage: {{path: {folder}}}\n"
        f"monitors: {{network: {{test: none}}}}\n{notify}",
        encoding="utf-8",
    )
    return subprocess.run(
        [sys.executable, "-c", CODE, "notify", "test", "--config", str(path), *words],
        capture_output=True,
        text=True,
        check=False,
    )


def mails_to(port: int) -> str:
    return (
        f"smtp: {{server: 127.0.0.1, port: {port}, from: he@example.com, to: [admin@example.com]}}"
    )


def test_each_way_gets_one_message(tmp_path: Path, kept: Kept, port: int) -> None:
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ncat > {tmp_path}/told\n")
    hook.chmod(0o755)
    done = run(tmp_path, f"notify: {{{mails_to(port)}, hook: [{hook}]}}\n")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["hook: sent", "mail: sent"]
    [mail] = kept.mails
    assert "nothing has happened" in mail
    assert json.loads((tmp_path / "told").read_text())["why"].endswith("nothing has happened")


def test_a_way_that_fails_says_why(tmp_path: Path) -> None:
    done = run(tmp_path, f"notify: {{{mails_to(free_port())}}}\n", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)["mail"]
    assert not found["sent"]
    assert "refused" in found["why"]


def test_where_nobody_is_told_that_is_said(tmp_path: Path) -> None:
    done = run(tmp_path, "")
    assert (done.returncode, done.stdout) == (2, "")
    assert "set notify.smtp or notify.hook" in done.stderr
