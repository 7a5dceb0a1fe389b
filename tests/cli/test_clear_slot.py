"""`he-fsm storage clear-slot`: the slot of a host that is gone, and no other one, is emptied."""

from __future__ import annotations

import json
import re
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from he_fsm.cli.options.asking import Consent
from he_fsm.cli.storage import why_kept
from he_fsm.metadata import EngineStatus, HostRecord, Whiteboard
from tests.cli.conftest import Ran
from tests.cli.test_verdict import GOOD, host, status

PAGE = Path(__file__).parents[2] / "docs" / "hosts.md"
ENGINE = EngineStatus("down", "bad", "unknown", "vm not running on this host")
# Two hosts live, the third one was removed, and the fourth one is damaged.
HOSTS = {1: host(GOOD), 2: host(), 3: host(score=0, stopped=True)}


def record(host_id: int) -> HostRecord:
    return HostRecord(
        host_id=host_id, timestamp=7, score=0, engine=ENGINE, hostname=f"host{host_id}"
    )


def found(**agent: Any) -> dict[str, Any]:
    plain = status(HOSTS, **{"alive": [1, 2], **agent})
    plain["hosts"]["4"] = {"problem": "crc", "detail": "the checksum is wrong"}
    return plain


class _Server(socketserver.ThreadingUnixStreamServer):
    """A broker that says one thing."""

    daemon_threads = True
    answer: bytes = b""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.answer)

    def address_string(self) -> str:
        return "a test"

    def log_message(self, *_: object) -> None:
        """Keep standard error for what the command says."""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the configuration of host 1, whose whiteboard has four slots in use."""
    for name in ("shared", "run", "state"):
        (tmp_path / name).mkdir()
    board = Whiteboard.build(tuple(record(number) for number in range(1, 5)))
    (tmp_path / "shared" / "whiteboard").write_bytes(board)
    path = tmp_path / "he-fsm.yaml"
    path.write_text(
        "host: {id: 1, hostname: host1}\novirt: none\nrun_dir: run\nstate_dir: state\n"
        "storage: {path: shared}\nmonitors: {network: {test: none}}\n"
    )
    return path


@pytest.fixture
def broker(config: Path) -> Iterator[_Server]:
    with _Server(str(config.parent / "run" / "broker.sock"), _Handler) as server:
        server.answer = json.dumps(found()).encode()
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def used(config: Path) -> list[int]:
    board = Whiteboard.parse((config.parent / "shared" / "whiteboard").read_bytes())
    return sorted(board.slots)


def clear(run: Callable[..., Ran], host_id: int, config: Path) -> Ran:
    return run("storage", "clear-slot", host_id, "--yes", "--config", config)


@pytest.mark.usefixtures("broker")
def test_the_slot_of_a_host_that_is_gone_is_emptied(run: Callable[..., Ran], config: Path) -> None:
    assert clear(run, 3, config) == (0, "slot 3 (h): emptied\n", "")
    assert used(config) == [1, 2, 4]
    assert clear(run, 4, config) == (0, "slot 4 (crc): emptied\n", "")
    assert used(config) == [1, 2]
    data = (config.parent / "shared" / "whiteboard").read_bytes()
    assert Whiteboard.parse(data).global_block.maintenance is False


@pytest.mark.usefixtures("broker")
def test_nothing_is_emptied_unless_somebody_agrees(
    run: Callable[..., Ran], refused: Callable[..., str], config: Path
) -> None:
    words = ("storage", "clear-slot", 3, "--config", config)
    deed = (
        f"would empty slot 3 (h) of the whiteboard in {config.parent}/shared/whiteboard: the record"
        " in it is lost"
    )
    assert run(*words, "--dry-run") == (0, f"{deed}\n", "")
    assert refused(*words) == f"{deed}; without a terminal nobody can be asked: add --yes"
    assert "is alive" in refused("storage", "clear-slot", 2, "--config", config, "--dry-run")
    assert used(config) == [1, 2, 3, 4]


def test_a_host_that_comes_back_during_the_question_keeps_its_slot(
    broker: _Server,
    refused: Callable[..., str],
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def given(*_: object) -> bool:
        broker.answer = json.dumps(found(alive=[1, 2, 3])).encode()
        return True

    monkeypatch.setattr(Consent, "given", given)
    assert "host 3 is alive" in refused("storage", "clear-slot", 3, "--config", config)
    assert used(config) == [1, 2, 3, 4]


@pytest.mark.usefixtures("broker")
def test_an_empty_slot_stays_as_it_is(run: Callable[..., Ran], config: Path) -> None:
    ran = run("storage", "clear-slot", 9, "--config", config)
    assert ran == (0, "slot 9: empty already, left alone\n", "")
    assert used(config) == [1, 2, 3, 4]


@pytest.mark.usefixtures("broker")
def test_the_slot_of_a_living_host_is_kept(refused: Callable[..., str], config: Path) -> None:
    why = refused("storage", "clear-slot", 2, "--config", config)
    assert why == (
        "slot 2 stays as it is: host 2 is alive; stop its agent first:"
        " systemctl stop he-fsm-agent, there"
    )
    assert used(config) == [1, 2, 3, 4]


def test_without_a_broker_nothing_is_written(refused: Callable[..., str], config: Path) -> None:
    assert "does not answer" in refused("storage", "clear-slot", 3, "--config", config)
    assert used(config) == [1, 2, 3, 4]


@pytest.mark.parametrize("word", ["0", "2001", "host3", ""])
def test_what_is_no_host_id_is_wrong_use(run: Callable[..., Ran], config: Path, word: str) -> None:
    ran = run("storage", "clear-slot", word, "--config", config)
    assert ran.status == 2
    assert "'HOST_ID'" in ran.err
    assert used(config) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("host_id", "agent", "changes", "why"),
    [
        (1, {}, {}, "host 1 is this host; use this command on another one"),
        (3, {"alive": [1, 2, 3]}, {}, "host 3 is alive"),
        (3, {"pending": [3]}, {}, "not known yet whether host 3 is alive"),
        (4, {"alive": [1, 4]}, {}, "host 4 is alive"),
        # Who lives is what the agent has seen; nobody saw it where the agent does not look.
        (3, {"age_s": 31.0}, {}, "not known who is alive: the agent of this host (1) has not"),
        (3, {"age_s": None}, {}, "not known who is alive"),
        (3, {}, {"storage": "the storage did not answer"}, "not known who is alive"),
        (3, {}, {"lease": None}, "the lease manager of this host does not answer"),
        (3, {}, {"lease": {"owner": 3}}, "host 3 owns the engine's lease"),
    ],
)
def test_a_slot_is_kept_while_its_host_may_be_alive(
    host_id: int, agent: dict[str, Any], changes: dict[str, Any], why: str
) -> None:
    said: Optional[str] = why_kept({**found(**agent), **changes}, host_id)
    assert said is not None
    assert why in said


@pytest.mark.parametrize(
    ("agent", "changes"),
    [
        ({"alive": [1, 2, 3]}, {}),
        ({"pending": [3]}, {}),
        ({"age_s": None}, {}),
        ({}, {"lease": {"owner": 3}}),
        ({}, {"host_id": 3}),
    ],
)
def test_the_page_says_what_to_do_about_each_refusal(
    agent: dict[str, Any], changes: dict[str, Any]
) -> None:
    said = why_kept({**found(**agent), **changes}, 3)
    assert said is not None
    rows = re.findall(r"^\| `(.+?)(?: …)?` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert any(said.startswith(row) for row in rows), said


def test_a_silent_host_that_owns_nothing_is_gone() -> None:
    assert why_kept(found(), 3) is None
    assert why_kept(found(), 4) is None
    silent = found()
    silent["hosts"]["3"] = host()
    assert why_kept(silent, 3) is None


def completed(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, line: str) -> list[str]:
    """Return what a shell is told that may follow a line."""
    words = line.split(" ")
    monkeypatch.setenv("_HE_FSM_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    ran = run()
    assert ran.err == ""
    return [each.partition(",")[2] for each in ran.out.split()]


@pytest.mark.usefixtures("broker")
@pytest.mark.parametrize(
    "command", ["storage clear-slot --config {}", "clean --config {} --host-id", "why --config {}"]
)
def test_host_ids_are_completed(
    run: Callable[..., Ran], config: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    line = command.format(config)
    assert completed(run, monkeypatch, f"he-fsm {line} ") == ["1", "2", "3", "4"]
    assert completed(run, monkeypatch, f"he-fsm {line} 3") == ["3"]


def test_without_a_broker_no_host_id_is_completed_and_nothing_is_said(
    run: Callable[..., Ran], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert completed(run, monkeypatch, f"he-fsm clean --config {config} --host-id ") == []
    assert completed(run, monkeypatch, f"he-fsm clean --config {config}/none --host-id ") == []
    assert completed(run, monkeypatch, f"he-fsm why --config {config} ") == []
