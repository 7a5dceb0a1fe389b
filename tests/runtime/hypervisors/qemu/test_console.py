"""The screen of a real VM, with a client that speaks RFB (RFC 6143)."""

from __future__ import annotations

import io
import json
import os
import pty
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml
from click.testing import CliRunner, Result
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from he_fsm.cli.hosted_engine import CONFIG_VARIABLE
from he_fsm.cli.hosted_engine import run as hosted_engine
from he_fsm.cli.hosted_engine.vm import PASSWORD_VARIABLE
from he_fsm.cli.main import cli
from he_fsm.errors import HypervisorError
from he_fsm.runtime.config.plain import plain
from he_fsm.runtime.hypervisors.qemu.section import ConsoleConfig
from he_fsm.snapshot import VmState
from he_fsm.testing.vm_hosts import free_port
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.qemu.qemu_hosts import QemuHosts, prepare, short_folder

pytestmark = pytest.mark.qemu
BY_PASSWORD = b"\x02"
LET_IN, REFUSED = b"\0\0\0\0", b"\0\0\0\1"


@pytest.fixture
def hosts() -> Iterator[QemuHosts]:
    with short_folder() as folder:
        hosts = QemuHosts(folder, prepare(folder))
        hosts.change(1, console=ConsoleConfig(port=max(free_port(), 5900)), saved_state=None)
        yield hosts
        hosts.tear_down()


@pytest.fixture
def started(hosts: QemuHosts) -> QemuHosts:
    hosts.hypervisor(1).start()
    hosts.reaches(1, VmState.UP)
    return hosts


def console(hosts: QemuHosts, *options: str) -> Result:
    path = config_of(hosts)
    return CliRunner().invoke(cli, ["console", "--config", str(path), *options])


def config_of(hosts: QemuHosts) -> Path:
    vm = plain(hosts.settings[1].vm)
    path = hosts.folder / "he-fsm.yaml"
    plain_config = {
        "host": {"id": 1},
        "run_dir": str(hosts.run_dir(1)),
        "storage": {"path": str(hosts.folder)},
        "leases": "embedded",
        "hypervisor": {"kind": "qemu", "vm": vm},
        "engine": {"health": {"url": "http://127.0.0.1:8080/"}},
        "monitors": {"network": {"test": "none"}},
        "ovirt": "none",
    }
    path.write_text(yaml.safe_dump(plain_config))
    return path


def given_out(hosts: QemuHosts, *options: str) -> str:
    result = console(hosts, "--json", *options)
    assert result.exit_code == 0, result.exception
    return str(json.loads(result.output)["password"])


def answer_to(challenge: bytes, password: str) -> bytes:
    # Each byte of the key is read from its other end (RFC 6143, 7.2.2, erratum 4951).
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode().ljust(8, b"\0"))
    encryptor = Cipher(TripleDES(key * 3), modes.ECB()).encryptor()  # noqa: S305 - RFB's
    return encryptor.update(challenge)


class Viewer:
    """A connection to the screen, up to the server's first message."""

    def __init__(self, port: int, password: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        assert self.socket.recv(12).startswith(b"RFB ")
        self.socket.sendall(b"RFB 003.008\n")
        assert self.socket.recv(2) == b"\x01" + BY_PASSWORD
        self.socket.sendall(BY_PASSWORD)
        self.socket.sendall(answer_to(self.socket.recv(16), password))
        self.result = self.socket.recv(4)
        if self.result == LET_IN:
            self.socket.sendall(b"\x01")
            assert len(self.socket.recv(24)) == 24

    def close(self) -> None:
        self.socket.close()


def try_in(hosts: QemuHosts, password: str) -> bytes:
    screen = hosts.settings[1].vm.console
    assert screen is not None
    viewer = Viewer(screen.port, password)
    viewer.close()
    return viewer.result


def test_a_password_lets_one_in_and_no_second(started: QemuHosts) -> None:
    password = given_out(started)
    assert try_in(started, password) == LET_IN
    until(lambda: try_in(started, password) == REFUSED)


def test_nobody_gets_in_before_a_password_was_given_out(started: QemuHosts) -> None:
    assert try_in(started, "") == REFUSED


def test_a_new_password_makes_the_last_one_void(started: QemuHosts) -> None:
    first, second = given_out(started), given_out(started)
    assert first != second
    assert try_in(started, first) == REFUSED
    assert try_in(started, second) == LET_IN


def test_a_password_ends_by_itself(started: QemuHosts) -> None:
    password = given_out(started, "--valid", "1")
    until(lambda: try_in(started, password) == REFUSED)


def test_no_argument_list_and_no_log_shows_a_password(started: QemuHosts) -> None:
    password = given_out(started)
    assert password not in " ".join(psutil.Process(started.record(1).pid).cmdline())
    for path in started.run_dir(1).glob("*.log"):
        assert password not in path.read_text()


def test_a_person_reads_where_the_screen_is(started: QemuHosts) -> None:
    screen = started.settings[1].vm.console
    assert screen is not None
    where, password = console(started).output.splitlines()
    assert where == f"Screen:   vnc://127.0.0.1:{screen.port}"
    assert password.endswith(" (for one connection, within 120 s)")


def test_without_a_vm_here_there_is_no_screen(hosts: QemuHosts) -> None:
    result = console(hosts)
    assert isinstance(result.exception, HypervisorError)
    assert str(result.exception).startswith("the VM is not on this host")


def test_a_vm_without_a_screen_says_so(hosts: QemuHosts) -> None:
    hosts.change(1, console=None)
    result = console(hosts)
    assert isinstance(result.exception, HypervisorError)
    assert str(result.exception) == "the VM has no screen: hypervisor.vm.console is not set"


# A password that somebody has chosen.


def test_a_chosen_password_lets_one_in(
    started: QemuHosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = started.settings[1].vm.console
    assert screen is not None
    monkeypatch.setenv(CONFIG_VARIABLE, str(config_of(started)))
    monkeypatch.setenv(PASSWORD_VARIABLE, "hush-1")
    assert hosted_engine(["--add-console-password"]) == 0
    said = f"You can now connect the hosted-engine VM with VNC at 127.0.0.1:{screen.port}\n"
    assert capsys.readouterr().out == said
    assert try_in(started, "hush-1") == LET_IN
    # A script gives it as a line.
    monkeypatch.delenv(PASSWORD_VARIABLE)
    monkeypatch.setattr(sys, "stdin", io.StringIO("hush-2\n"))
    assert hosted_engine(["--add-console-password"]) == 0
    assert try_in(started, "hush-2") == LET_IN
    assert hosted_engine(["--add-console-password", "--password=hush-3"]) == 0
    assert try_in(started, "hush-3") == LET_IN
    assert "hush" not in capsys.readouterr().err


def test_an_empty_password_is_refused(
    started: QemuHosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, str(config_of(started)))
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert hosted_engine(["--add-console-password"]) == 1
    assert capsys.readouterr().err == "hosted-engine: expected a password, got an empty one\n"
    assert try_in(started, "") == REFUSED


# The serial console.


@pytest.mark.skipif(shutil.which("socat") is None, reason="socat is not installed")
def test_what_is_typed_at_the_serial_console_reaches_the_guest(started: QemuHosts) -> None:
    mine, theirs = pty.openpty()
    code = "from he_fsm.cli.hosted_engine import main; main()"
    console = subprocess.Popen(
        [sys.executable, "-c", code, "--console"],
        env={**os.environ, CONFIG_VARIABLE: str(config_of(started))},
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    assert console.stderr is not None
    with console:
        assert console.stderr.readline() == b"hosted-engine: connected; Ctrl-] ends it\n"
        log = started.run_dir(1) / "vm.console"
        until(lambda: "GUEST-UP" in log.read_text(errors="replace"), within_s=60)

        # The guest's terminal shows what is typed, until it was seen to.
        def is_echoed() -> bool:
            os.write(mine, b"knock\r")
            return "knock" in log.read_text(errors="replace")

        until(is_echoed)
        os.write(mine, b"\x1d")
        assert console.wait(10) == 0
    os.close(mine)
