"""What `he-fsm dashboard` refuses before it serves anything, in one sentence."""

from __future__ import annotations

import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pexpect
import pytest
import trustme

from he_fsm.runtime.config import DEFAULT_PATH
from he_fsm.testing.waiting import until
from tests.cli.conftest import command_line, environment
from tests.cli.dashboard.serving import served

ANY = "0.0.0.0"  # noqa: S104 - what is refused, or demands a token


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("a-token-that-nobody-guesses\n", encoding="ascii")
    path.chmod(stat.S_IRUSR)
    return path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--address", ANY), "0.0.0.0 can be reached from other machines, which needs TLS"),
        (("--allow-changes",), "--allow-changes without a terminal: add --token-file FILE"),
        (("--proxy", "here"), "--proxy here: expected an address like 192.0.2.1"),
        (("--user-header", "X-User"), "say from which address the proxy asks: --proxy ADDRESS"),
        (("--token-file", "/none"), "can't read the token from /none: No such file or directory"),
        (("--address", "no.such.name.invalid"), "can be reached from other machines"),
        (("--address", "192.0.2.1"), "can be reached from other machines"),
    ],
)
def test_what_is_not_safe_or_not_there_is_refused(
    refused: Callable[..., str], words: tuple[str, ...], said: str
) -> None:
    assert said in refused("dashboard", "--demo", *words)


def test_a_machine_without_a_cluster(refused: Callable[..., str]) -> None:
    if DEFAULT_PATH.exists():
        pytest.skip(f"there is a cluster here: {DEFAULT_PATH}")
    assert refused("dashboard") == (
        f"{DEFAULT_PATH} is not there: say what to show (--config FILE), or --demo"
    )


def test_a_configuration_that_is_not_there(refused: Callable[..., str]) -> None:
    assert "/none.yaml" in refused("dashboard", "--config", "/none.yaml")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--port", "http"), "is not a valid integer"),
        (("--port", "70000"), "is not in the range"),
        (("--certificate", "/none"), "--certificate and --key go together"),
        (("--leases", "/none"), "--leases goes with one --whiteboard"),
        (("--hours", "long"), "expected a time like 60s, got long"),
    ],
)
def test_wrong_usage_is_said(run: Callable[..., Any], words: tuple[str, ...], said: str) -> None:
    ran = run("dashboard", *words)
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err


def test_a_port_that_is_taken(refused: Callable[..., str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused("dashboard", "--demo", "--port", port)
    assert said == f"can't listen on 127.0.0.1, port {port}: Address already in use"


def test_a_certificate_that_is_none(refused: Callable[..., str], token: Path) -> None:
    words = ("--certificate", token, "--key", token, "--token-file", token)
    assert "can't serve TLS with " in refused("dashboard", "--demo", *words)


def test_tls_and_a_token_are_enough(token: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    words = ("--certificate", tmp_path / "cert.pem", "--key", tmp_path / "key.pem")
    # All addresses of this machine, by a token.
    command = command_line(
        *("dashboard", "--demo", "--address", ANY, "--port", "0", "--token-file", token),
        *words,
    )
    process = subprocess.Popen(
        command, env=environment({"PYTHONUNBUFFERED": "1"}), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip().rsplit(":", 1)[1].strip("/")
        curl = ("curl", "-sS", "--cacert", str(tmp_path / "ca.pem"), "-o", "/dev/null")
        form = ("-w", "%{http_code}")
        url = f"https://127.0.0.1:{port}/api/clusters"
        bare = subprocess.run((*curl, *form, url), capture_output=True, text=True, check=True)
        assert bare.stdout == "401"
        secret = ("-H", f"Authorization: Bearer {token.read_text().strip()}")
        told = subprocess.run(
            (*curl, *form, *secret, url), capture_output=True, text=True, check=True
        )
        assert told.stdout == "200"
    finally:
        process.terminate()
        assert process.wait(20) == 0
        process.stdout.close()


@pytest.fixture
def terminal() -> Iterator[Any]:
    command, *words = command_line("dashboard", "--demo", "--allow-changes", "--port", "0")
    found = pexpect.spawn(command, words, env=dict(environment({})), timeout=30, encoding="utf-8")
    yield found
    found.close(force=True)


def test_on_a_terminal_the_address_holds_a_token_of_this_run(terminal: Any) -> None:
    terminal.expect(r"http://127\.0\.0\.1:\d+/login#([\w-]{40,})\r\n")
    token = terminal.match[1]
    # The token is in no argument list.
    arguments = Path(f"/proc/{terminal.pid}/cmdline").read_text(encoding="utf-8")
    assert token not in arguments
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.wait()
    assert terminal.exitstatus == 0


def test_what_is_served_is_for_this_machine_alone() -> None:
    with served("--demo") as found:
        pid = found.process.pid

        def listens() -> set[str]:
            text = Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii")
            port = f"{found.port:04X}"
            return {line.split()[1] for line in text.splitlines() if f":{port} 00000000" in line}

        until(lambda: listens() == {f"0100007F:{found.port:04X}"})
