"""The agent says, seldom but again, that the name of another host does not resolve."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from he_fsm.runtime import parts
from he_fsm.runtime.agent import main
from he_fsm.runtime.agent.peer_names import LOOK_S, PeerNames, resolve
from he_fsm.runtime.config import Config, parse_config

TEXT = """\
host: {id: 1, hostname: one}
ovirt: none
leases: sanlock
storage: {path: shared}
hypervisor:
  kind: qemu
  vm: {disks: [{path: engine.raw}]}
  move: {peers: "PEERS", secret_file: secret}
monitors: {network: {test: none}}
engine: {health: {url: 'http://127.0.0.1:1/'}}
"""


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Names:
    """Names that resolve, but those of `unknown`."""

    def __init__(self) -> None:
        self.unknown: set[str] = set()
        self.asked: list[str] = []

    def resolve(self, name: str) -> None:
        self.asked.append(name)
        if name in self.unknown:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def looks(names: Names, clock: Clock, caplog: pytest.LogCaptureFixture) -> PeerNames:
    caplog.set_level(logging.INFO, "he_fsm")
    return PeerNames(lambda number: f"host{number}", resolve=names.resolve, clock=clock)


def test_names_that_resolve_are_no_news(
    looks: PeerNames, names: Names, caplog: pytest.LogCaptureFixture
) -> None:
    looks.look({3, 2})
    assert names.asked == ["host2", "host3"]
    assert caplog.messages == []


def test_a_name_that_does_not_resolve_is_said_every_quarter_of_an_hour_and_when_it_is_over(
    looks: PeerNames, names: Names, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    names.unknown = {"host2"}
    said = (
        "the name host2 does not resolve: Name or service not known; the VM can't migrate from"
        " here to host 2: mend DNS or /etc/hosts on this host"
    )
    looks.look({2, 3})
    assert caplog.messages == [said]
    for _ in range(int(3600 / LOOK_S)):
        clock.now += LOOK_S
        looks.look({2, 3})
    assert caplog.messages == [said, *(f"{said} (15 times in the last 15 min)" for _ in range(4))]
    names.unknown = set()
    looks.look({2, 3})
    assert caplog.messages[5:] == ["the name host2 resolves again (after 3600 s, 61 times)"]
    assert {record.levelname for record in caplog.records[:5]} == {"WARNING"}


def test_a_host_without_a_name_is_not_asked_for(names: Names) -> None:
    PeerNames(lambda _: None, resolve=names.resolve).look({2})
    assert names.asked == []


def test_a_name_that_can_not_be_one_is_said(caplog: pytest.LogCaptureFixture) -> None:
    PeerNames(lambda _: "h" * 70, resolve=resolve).look({2})
    [said] = caplog.messages
    assert "does not resolve" in said


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
def test_an_address_resolves(address: str) -> None:
    resolve(address)


def config(peers: str, folder: Path) -> Config:
    return parse_config(TEXT.replace("PEERS", peers), "f.yaml", folder)


@pytest.mark.parametrize(
    ("peers", "name"),
    [
        ("tcp:host{id}.example.com:8703", "host2.example.com"),
        ("tcp:[fd00::{id}]:8703", "fd00::2"),
        ("unix:/run/he-fsm/{id}/migrate.sock", None),
    ],
)
def test_the_name_is_that_of_peers(peers: str, name: str, tmp_path: Path) -> None:
    assert parts.peer_name(config(peers, tmp_path), 2) == name


def test_a_vm_that_moves_without_names_needs_none(tmp_path: Path) -> None:
    text = (
        "host: {id: 1}\novirt: none\nstorage: {path: shared}\nmonitors: {network: {test: none}}\n"
    )
    assert parts.peer_name(parse_config(text, "f.yaml", tmp_path), 2) is None


class EnoughError(Exception):
    """Ends what looks for ever."""


def test_an_agent_resolves_the_names_of_the_other_living_hosts(
    names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    names.unknown = {"host2.example.com"}
    loop: Any = SimpleNamespace(decision=None)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise EnoughError
        # Before its first pass, an agent knows no other host.
        loop.decision = SimpleNamespace(liveness=SimpleNamespace(alive=frozenset({1, 2, 3})))

    monkeypatch.setattr(socket, "getaddrinfo", lambda name, *_, **__: names.resolve(name))
    monkeypatch.setattr(main.time, "sleep", wait)
    plain = config("tcp:host{id}.example.com:8703", tmp_path)
    with pytest.raises(EnoughError):
        main._Agent(tmp_path / "f.yaml", plain)._look_at_names(loop)
    assert names.asked == 2 * ["host2.example.com", "host3.example.com"]
    assert waits == 3 * [LOOK_S]
    assert len(caplog.messages) == 1
