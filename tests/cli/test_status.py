"""`he-fsm status`, as a real broker on its socket answers."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from he_fsm.cli.main import main
from he_fsm.cli.output.live import table_of
from he_fsm.live.summary import lease_text, summary
from he_fsm.metadata import encode_slot
from he_fsm.runtime.broker.service import BrokerService
from he_fsm.testing.waiting import until
from tests.runtime.broker.test_service import RECORD
from tests.runtime.cluster import Cluster, ClusterHost, served, storage_away

REPORT = {"state": "EngineDown", "why": "the engine is down", "alive": [1], "loop_s": 10.0}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, speed=1.0)
    yield cluster
    cluster.tear_down()


@pytest.fixture
def host(cluster: Cluster) -> ClusterHost:
    return cluster.hosts[1]


@pytest.fixture
def service(host: ClusterHost) -> Iterator[BrokerService]:
    """A broker whose agent has published its record and reported."""
    with served(host) as service:
        until(host.reads_storage)
        service.join()
        service.write_slot(encode_slot(RECORD, RECORD.text))
        service.report(REPORT)
        yield service


def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    """Call the command line as from a shell; return exit status, output and errors."""
    monkeypatch.setattr(sys, "argv", ["he-fsm", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    status = ended.value.code
    assert isinstance(status, int)
    return (status, *capsys.readouterr())


@pytest.fixture
def he_fsm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda *arguments: call(monkeypatch, capsys, *arguments)


def test_without_a_broker_it_is_one_sentence(he_fsm: Any, host: ClusterHost) -> None:
    path = host.run_dir / "broker.sock"
    why = f"the broker at {path} does not answer: No such file or directory"
    sentence = f"he-fsm: {why}\n"
    for option in (("--config", host.path), ("--socket", path)):
        assert he_fsm("maintenance", *option) == (2, "", sentence)
        # How the engine is is then unknown: that is an answer, and no wrong usage.
        assert he_fsm("status", *option) == (3, f"engine unknown: {why}\n", "")
        status, out, err = he_fsm("status", "--json", *option)
        assert (status, err) == (3, "")
        assert json.loads(out)["verdict"]["level"] == "unknown"
    status, out, err = he_fsm("status", "--watch", "--socket", path)
    assert (status, out, err) == (2, "", sentence)


def test_a_configuration_that_can_not_be_used_is_said(he_fsm: Any, host: ClusterHost) -> None:
    host.configure(host={"id": 0})
    status, out, err = he_fsm("status", "--config", host.path)
    assert (status, out) == (2, "")
    assert "host.id" in err


def test_the_cluster_is_shown(he_fsm: Any, host: ClusterHost, service: BrokerService) -> None:
    assert service.host_id == 1
    status, out, err = he_fsm("status", "--config", host.path)
    assert (status, err) == (3, "")
    lines = out.splitlines()
    assert lines[:5] == [
        "engine down: the agent has not said",
        "Global maintenance: off, local maintenance of host 1: off",
        "Engine's lease: free",
        "Agent of host 1: EngineDown, the engine is down (0 s ago)",
        "",
    ]
    assert "--== Host 1 status ==--" in lines
    assert any(" ".join(line.split()) == "Score : 2400" for line in lines)
    assert any("score-why=all is well" in line for line in lines)
    assert "STALE" not in out


def test_alarms_are_shown_first_in_plain_words(
    he_fsm: Any, host: ClusterHost, service: BrokerService
) -> None:
    alarms = [
        {"name": "engine-down", "text": "the engine runs nowhere", "for_s": 7500.0},
        {"name": "slot-0", "text": "it can't be believed", "for_s": 20.0},
    ]
    service.report({**REPORT, "alarms": alarms})
    _, out, _ = he_fsm("status", "--config", host.path)
    assert out.splitlines()[1:4] == [
        "ALARM engine-down, for 2 h: the engine runs nowhere",
        "ALARM slot-0, for 20 s: it can't be believed",
        "Global maintenance: off, local maintenance of host 1: off",
    ]
    _, out, _ = he_fsm("status", "--json", "--config", host.path)
    assert json.loads(out)["agent"]["alarms"] == alarms


def test_threads_that_failed_are_shown(
    he_fsm: Any, host: ClusterHost, service: BrokerService
) -> None:
    failed = {"running": True, "restarts": 3, "error": "OSError: no memory", "failed_s_ago": 600.0}
    ended = {"running": False, "restarts": 0, "error": "", "failed_s_ago": 9999.0}
    long_ago = {**failed, "failed_s_ago": 4000.0}
    threads = {"lease-guard": failed, "poller": ended, "old": long_ago}
    service.report({**REPORT, "threads": threads})
    _, out, _ = he_fsm("status", "--config", host.path)
    assert out.splitlines()[1:4] == [
        (
            "WARNING the agent's thread lease-guard failed 10 min ago and was started again "
            "(3 in all): OSError: no memory"
        ),
        "WARNING the agent's thread poller has ended",
        "Global maintenance: off, local maintenance of host 1: off",
    ]


def test_the_cluster_is_shown_as_json(
    he_fsm: Any, host: ClusterHost, service: BrokerService
) -> None:
    status, out, _ = he_fsm("status", "--json", "--socket", host.run_dir / "broker.sock")
    found = json.loads(out)
    assert status == found["verdict"]["exit_status"] == 3
    assert found["verdict"]["level"] == "down"
    assert found["hosts"] == service.status()["hosts"]
    assert found["agent"]["state"] == "EngineDown"


def test_what_is_old_is_called_stale(
    he_fsm: Any, host: ClusterHost, cluster: Cluster, service: BrokerService
) -> None:
    service.report({**REPORT, "loop_s": 0.001})
    assert host.reads_storage()
    with storage_away(cluster):
        # What was read a moment ago is shown for a moment.
        until(lambda: service.status()["storage"] != "ok" and service.status()["lease"] is None)
        status, out, _ = he_fsm("status", "--config", host.path)
    assert status == 3
    assert out.startswith("engine unknown: ")
    assert "Engine's lease: not known, the lease manager does not answer" in out
    assert "STALE, it does not report any more; it was EngineDown" in out
    assert "\nSTALE: " in out
    assert "; what follows was last read " in out
    assert "Global maintenance: off" in out
    assert "--== Host 1 status ==--" in out


def test_a_broker_that_knows_nothing_says_so(
    he_fsm: Any, host: ClusterHost, cluster: Cluster
) -> None:
    with storage_away(cluster), served(host):
        until(lambda: "No such file" in host.status().get("storage", ""))
        status, out, _ = he_fsm("status", "--config", host.path)
    assert status == 3
    assert "Global maintenance: unknown, local maintenance of host 1: off" in out
    assert "Agent of host 1: has not reported since the broker started" in out
    assert "what follows was never read" in out


def test_a_damaged_slot_is_shown(
    he_fsm: Any, host: ClusterHost, cluster: Cluster, service: BrokerService
) -> None:
    assert service.host_id == 1
    with (cluster.shared / "whiteboard").open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"garbage")
    _, out, _ = he_fsm("status", "--config", host.path)
    assert "--== Slots that can't be believed ==--\n\nslot 2  " in out
    assert ": garbage (" in out
    console = Console(width=200)
    with console.capture() as shown:
        console.print(table_of(service.status()))
    assert "damaged" in shown.get() or "garbage" in shown.get()
    assert "1 host1" in shown.get()


def test_two_thousand_damaged_slots_are_a_few_lines(
    he_fsm: Any, host: ClusterHost, cluster: Cluster, service: BrokerService
) -> None:
    assert service.host_id == 1
    with (cluster.shared / "whiteboard").open("r+b") as file:
        for slot in range(2, 2001):
            file.seek(slot * 4096)
            # Several kinds of damage, among each other.
            file.write((b"garbage", b"9|9|7", b"1|1|7|2|2400|x|h|0|0|0bad0bad|1|0")[slot % 3])
    _, out, _ = he_fsm("status", "--config", host.path)
    before, damaged = out.split("--== Slots that can't be believed ==--")
    assert "--== Host 1 status ==--" in before
    assert len(damaged.splitlines()) <= 10
    assert max(map(len, damaged.splitlines())) < 200
    assert "in all" in damaged


def lease(**known: float) -> dict[str, Any]:
    """Return what the broker says of the lease of host 2; what is not *known* is null."""
    names = ("generation", "renewal_age_s", "free_in_s", "runs_out_in_s")
    return {"owner": 2, **dict.fromkeys(names), **known}


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (None, "not known, the lease manager does not answer"),
        ({"owner": None}, "free"),
        (
            lease(generation=3, renewal_age_s=4.4, runs_out_in_s=135.6),
            "host 2, generation 3, renewed 4 s ago, expires in 136 s unless renewed",
        ),
        (
            lease(renewal_age_s=70.0, free_in_s=70.0, runs_out_in_s=70.0),
            "host 2, renewed 70 s ago, no longer renewed: free in 70 s",
        ),
        (lease(), "host 2"),
    ],
)
def test_the_lease_is_said_in_words(found: Any, text: str) -> None:
    assert lease_text(found) == text


def test_the_table_has_a_row_for_each_host(service: BrokerService) -> None:
    found = service.status()
    console = Console(width=160)
    with console.capture() as shown:
        console.print(table_of(found))
    for line in summary(found):
        assert line in shown.get()
    assert "EngineDown" in shown.get()


def test_the_live_table_survives_the_broker_and_ends_with_ctrl_c(host: ClusterHost) -> None:
    code = "from he_fsm.cli.main import main; main()"
    arguments = ["status", "--watch", "--interval", "0.1", "--config", str(host.path)]
    terminal, side = pty.openpty()
    with served(host):
        until(host.reads_storage)
        watching = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdout=side,
            stderr=side,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "200"},
        )
        os.close(side)
        shown = seen_on(terminal, b"Global maintenance: off")
        assert b"STALE" not in shown
    seen_on(terminal, b"STALE: the broker at ")
    watching.send_signal(signal.SIGINT)
    assert watching.wait(20) == 0
    os.close(terminal)


def seen_on(terminal: int, wanted: bytes) -> bytes:
    """Read from a terminal until something is shown; return all that was."""
    shown = b""
    ends_at = time.monotonic() + 20
    while wanted not in shown:
        assert time.monotonic() < ends_at, shown
        if select.select([terminal], [], [], 1.0)[0]:
            shown += os.read(terminal, 1 << 16)
    return shown
