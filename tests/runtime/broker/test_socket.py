"""The broker's socket: every request by the client and by curl, errors, who may ask, metrics."""

from __future__ import annotations

import grp
import http.client
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Optional

import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from he_fsm.errors import BrokerError, HeFsmError, LockspaceError, StorageError
from he_fsm.metadata import Whiteboard, encode_slot
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.broker.listener import bind
from he_fsm.runtime.broker.protocol import event_to_json
from he_fsm.runtime.broker.server import BrokerServer
from he_fsm.runtime.broker.service import BrokerService
from he_fsm.runtime.vm_orders.order import Wanted
from he_fsm.testing.waiting import until
from tests.runtime.broker.test_service import EVENT, RECORD
from tests.runtime.cluster import Cluster, ClusterHost, served, storage_away

NOBODY = 65534


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, speed=1.0)
    cluster.hosts[1].configure(monitors={"interval": 0.2})
    yield cluster
    cluster.tear_down()


@pytest.fixture
def host(cluster: Cluster) -> ClusterHost:
    return cluster.hosts[1]


@pytest.fixture
def service(host: ClusterHost) -> Iterator[BrokerService]:
    with served(host) as service:
        until(host.reads_storage)
        yield service


@pytest.fixture
def client(host: ClusterHost, service: BrokerService) -> BrokerClient:  # noqa: ARG001
    return host.client


def ask(host: ClusterHost, method: str, path: str, body: bytes = b"") -> tuple[int, bytes, str]:
    """Send a request as it is; return status, body and content type of the answer."""
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(host.run_dir / "broker.sock"))
    connection.request(method, path, body)
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.headers.get("Content-Type", "")
    connection.close()
    return found


def error_of(host: ClusterHost, method: str, path: str, body: bytes = b"") -> tuple[int, str]:
    """Send a request that is refused; return status and sentence."""
    status, data, _ = ask(host, method, path, body)
    plain = json.loads(data)
    assert list(plain) == ["error"]
    assert "\n" not in plain["error"]
    return status, plain["error"]


# Every request.


def test_the_agents_requests(client: BrokerClient, service: BrokerService) -> None:
    until(lambda: client.facts().readings.cpu_load.value == 0.05)
    found = client.facts()
    assert found.leases is not None
    assert not found.leases.view.joined
    assert (found.engine.why, found.local_maintenance) == (service.facts().engine.why, False)
    client.join()
    client.write_slot(encode_slot(RECORD, RECORD.text))
    assert Whiteboard.parse(client.whiteboard()).records == {1: RECORD}
    joined = client.facts().leases
    assert joined is not None
    assert joined.view.joined
    client.report({"state": "EngineDown", "why": "because"})
    assert client.last_report()["state"] == "EngineDown"
    client.tell(EVENT)
    assert service.counts == {"slot_writes": 1, "events": 1}
    client.leave()
    left = client.facts().leases
    assert left is not None
    assert not left.view.joined


def test_facts_arrive_as_they_were_sent(client: BrokerClient, service: BrokerService) -> None:
    client.join()
    direct, over = service.facts(), client.facts()
    assert over.leases == direct.leases
    assert type(over.readings) is type(direct.readings)
    assert over.readings.mem_free.value == direct.readings.mem_free.value


def test_the_requests_of_people(client: BrokerClient) -> None:
    assert client.maintenance() == client.maintenance(local=False)
    assert client.maintenance(everywhere=True).everywhere is True
    found = client.maintenance(local=True)
    assert (found.local, found.everywhere) == (True, True)
    status = client.status()
    assert status["maintenance"] == {"local": True, "global": True}
    assert set(status["monitors"]) >= {"network", "bridge", "mem_free", "cpu_load", "mem_load"}


def test_slot_0_is_mended_where_it_can_not_be_believed(
    client: BrokerClient, cluster: Cluster
) -> None:
    with (cluster.shared / "whiteboard").open("r+b") as file:
        file.write(b"\xff" * 4096)
    assert client.mend_global(True)
    assert client.maintenance().everywhere is True
    assert not client.mend_global(False)
    assert client.maintenance().everywhere is True


def test_a_report_of_a_full_whiteboard_fits(client: BrokerClient) -> None:
    sees = {str(i): {"score": 2400, "hostname": f"host{i}.example.com" * 4} for i in range(2000)}
    client.report({"state": "EngineDown", "why": "because", "sees": sees})
    assert client.last_report()["sees"] == sees


def test_curl_is_a_client(host: ClusterHost, service: BrokerService) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("there is no curl")

    def call(path: str, *arguments: str) -> str:
        done = subprocess.run(
            [
                *(curl, "--silent", "--show-error", "--fail-with-body"),
                *("--unix-socket", str(host.run_dir / "broker.sock")),
                *(f"http://localhost{path}", *arguments),
            ],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.stderr == "" or "22" in done.stderr
        return done.stdout

    assert json.loads(call("/v1/status"))["host_id"] == 1
    flags = call("/v1/maintenance", "-X", "PUT", "-d", '{"local": true}')
    assert json.loads(flags) == {"local": True, "global": False}
    assert call("/v1/join", "-X", "POST") == ""
    event = json.dumps(event_to_json(EVENT))
    assert call("/v1/events", "-d", event) == ""
    assert service.counts == {"events": 1}
    assert "he_fsm_storage_readable 1.0" in call("/metrics")
    assert json.loads(call("/v1/slot", "-T", "/dev/null"))["error"].startswith("a slot has 4096")
    assert call("/v1/leave", "-X", "POST") == ""


def test_the_examples_of_the_protocols_page_work(
    host: ClusterHost, service: BrokerService, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    page = Path(__file__).parents[3] / "docs" / "broker.md"
    examples = re.findall(r"^\$ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    used = set(re.findall(r"http://localhost(/[\w/]+)", "\n".join(examples)))
    for line in examples:
        ours = line.replace("/run/he-fsm/broker.sock", str(host.run_dir / "broker.sock"))
        ours = ours.replace("curl ", "curl --silent --show-error --fail-with-body ")
        done = subprocess.run(
            ["/bin/sh", "-c", ours],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), (line, done.stdout, done.stderr)
    assert (tmp_path / "whiteboard.bin").stat().st_size >= 4096
    served_paths = {route.resource.canonical for route in routes_of(service) if route.resource}
    assert used == served_paths


def routes_of(service: BrokerService) -> list[web.AbstractRoute]:
    return list(BrokerServer(service, None).app.router.routes())


# Errors.


REFUSED = [
    ("PUT", "/v1/slot", b"short", 400, "a slot has 4096 bytes, got 5"),
    ("PUT", "/v1/slot", bytes(4096), 409, "does not hold host id 1"),
    ("PUT", "/v1/report", b"{", 400, "expected a JSON object: "),
    ("PUT", "/v1/report", b"[]", 400, "expected a JSON object"),
    ("PUT", "/v1/report", b"\xff", 400, "expected a JSON object: "),
    ("PUT", "/v1/report", b'{"state": 1, "why": ""}', 400, "the texts 'state' and 'why'"),
    ("PUT", "/v1/report", b" " * (2 << 20), 413, "Request Entity Too Large"),
    ("POST", "/v1/events", b"{}", 400, "expected an object like Event: "),
    ("POST", "/v1/mend", b'{"global": 1}', 400, "got {'global': 1}"),
    ("POST", "/v1/mend", b'{"local": true}', 400, 'expected {"global": bool}'),
    ("PUT", "/v1/maintenance", b'{"local": 1}', 400, "got local: 1"),
    ("PUT", "/v1/maintenance", b'{"both": true}', 400, "got both: True"),
    ("GET", "/v1/wake?after=x", b"", 400, "expected a number for 'after', got 'x'"),
    ("GET", "/v1/watch?after=x", b"", 400, "expected a number for 'after', got 'x'"),
    ("GET", "/v1/wake?timeout=soon", b"", 400, "expected a number for 'timeout', got 'soon'"),
    ("GET", "/v1/nothing", b"", 404, "GET /v1/nothing: Not Found"),
    ("DELETE", "/v1/slot", b"", 405, "DELETE /v1/slot: Method Not Allowed"),
]


def test_what_is_wrong_is_said_in_a_sentence(host: ClusterHost, service: BrokerService) -> None:
    for method, path, body, status, sentence in REFUSED:
        found, error = error_of(host, method, path, body)
        assert (found, sentence in error) == (status, True), (method, path, error)
    assert service.counts == {}


def test_an_error_keeps_its_kind(client: BrokerClient, cluster: Cluster, host: ClusterHost) -> None:
    with pytest.raises(LockspaceError, match="does not hold host id 1"):
        client.write_slot(encode_slot(RECORD, ""))
    with storage_away(cluster):
        with pytest.raises(StorageError, match="No such file"):
            client.whiteboard()
        assert error_of(host, "GET", "/v1/whiteboard")[0] == 503
        with pytest.raises(StorageError, match=r"^global maintenance stays as it is: "):
            client.maintenance(everywhere=True)
        assert client.facts().leases is None
    with pytest.raises(BrokerError, match="the texts 'state' and 'why'"):
        client.report({})


def test_a_flag_that_can_not_be_written_is_said(client: BrokerClient, host: ClusterHost) -> None:
    host.state_dir.rename(host.folder / "gone")
    assert error_of(host, "PUT", "/v1/maintenance", b'{"local": true}')[0] == 500
    with pytest.raises(BrokerError, match=r"can't write .*flags\.json"):
        client.maintenance(local=True)
    assert client.maintenance().local is False


def test_a_bug_is_told_to_the_log_alone(
    host: ClusterHost,
    service: BrokerService,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(service, "facts", lambda: 1 / 0)
    assert error_of(host, "GET", "/v1/facts") == (500, "a bug of the broker; see its log")
    assert "GET /v1/facts meets a bug" in caplog.messages


# The client, and brokers that are not as they should be.


def test_no_broker_is_said_in_a_sentence(host: ClusterHost) -> None:
    path = host.run_dir / "broker.sock"
    sentence = f"^the broker at {path} does not answer: "
    with pytest.raises(BrokerError, match=f"{sentence}No such file or directory$"):
        host.client.status()
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    with pytest.raises(BrokerError, match=f"{sentence}Connection refused$"):
        host.client.status()


def test_a_broker_that_hangs_holds_a_call_for_its_time(host: ClusterHost) -> None:
    path = host.run_dir / "broker.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        began = time.monotonic()
        with pytest.raises(BrokerError, match="does not answer: timed out"):
            BrokerClient(str(path), 0.3).facts()
        assert 0.3 <= time.monotonic() - began < 5.0


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"nonsense\r\n\r\n", "does not answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "no JSON object"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{", "no JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "the broker's facts can't be used"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}", "refused with status 500"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "does not answer"),
    ],
)
def test_an_answer_that_is_none_is_said(host: ClusterHost, answer: bytes, sentence: str) -> None:
    path = host.run_dir / "broker.sock"
    with socket.socket(socket.AF_UNIX) as strange:
        strange.bind(str(path))
        strange.listen()

        def serve() -> None:
            connection, _ = strange.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        with pytest.raises(BrokerError, match=sentence):
            host.client.facts()
        serving.join()


# Waiting.


def test_any_number_may_wait_and_hold_up_nobody(
    client: BrokerClient, service: BrokerService
) -> None:
    seen = client.wake(0, 0.0)
    assert seen == service.changes
    with ThreadPoolExecutor(60) as waiting:
        found = [waiting.submit(client.wake, seen, 30.0) for _ in range(60)]
        began = time.monotonic()
        client.facts()
        assert time.monotonic() - began < 5.0
        assert not any(each.done() for each in found)
        service.maintenance(local=True)
        assert {each.result(20) for each in found} == {seen + 1}
    assert client.wake(seen + 1, 0.1) == seen + 1


def test_people_who_wait_are_woken_by_every_report_and_by_every_change(
    client: BrokerClient, service: BrokerService
) -> None:
    seen = client.watch(0, 0.0)
    assert seen == service.shown
    with ThreadPoolExecutor(1) as waiting:
        found = waiting.submit(client.watch, seen, 30.0)
        client.report({"state": "EngineDown", "why": "no VM here"})
        assert found.result(20) == seen + 1
        found = waiting.submit(client.watch, seen + 1, 30.0)
        client.maintenance(local=True)
        assert found.result(20) == seen + 2
    assert client.watch(seen + 2, 0.1) == seen + 2


def test_people_who_wait_are_no_agent_and_wake_none(
    client: BrokerClient, service: BrokerService
) -> None:
    """A report wakes no agent, and at its end the broker waits for no page."""
    changes = service.changes
    client.report({"state": "EngineDown", "why": "no VM here"})
    assert client.wake(changes, 0.0) == changes
    with ThreadPoolExecutor(20) as waiting:
        seen = service.shown
        found = [waiting.submit(client.watch, seen, 30.0) for _ in range(20)]
        until(lambda: sum(each.done() for each in found) == 4)
        refused = [each for each in found if each.done()]
        assert all("16 others wait" in str(each.exception()) for each in refused)
        client.report({"state": "EngineDown", "why": "no VM here"})
        assert {each.result(20) for each in found if each not in refused} == {seen + 1}


# Who may ask.


def test_the_socket_is_for_its_owner_and_group_alone(
    host: ClusterHost, service: BrokerService
) -> None:
    assert service.host_id == 1
    mode = (host.run_dir / "broker.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


def as_another(
    path: Path, gid: Optional[int] = None, call: str = "last_report()"
) -> dict[str, Any]:
    """Ask the broker as another user, in another process; return what it met."""
    code = f"""
import json, os
from he_fsm.errors import HeFsmError
from he_fsm.runtime.broker import protocol
from he_fsm.runtime.broker.client import BrokerClient
os.setgroups([])
os.setgid({NOBODY if gid is None else gid})
os.setuid({NOBODY})
try:
    found = BrokerClient({str(path)!r}, 10.0).{call}
    print(json.dumps(found if isinstance(found, dict) else {{"found": str(found)}}))
except HeFsmError as error:
    print(json.dumps({{"error": str(error)}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@pytest.fixture
def open_cluster() -> Iterator[Cluster]:
    """A cluster whose folders other users may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        cluster = Cluster(Path(folder) / "cluster", speed=1.0)
        yield cluster
        cluster.tear_down()


@needs_root
def test_another_user_is_refused(open_cluster: Cluster) -> None:
    host = open_cluster.hosts[1]
    path = host.run_dir / "broker.sock"
    with served(host):
        assert as_another(path)["error"].startswith("you are not in the group ")
        # Also where the file system would let him in.
        path.chmod(0o666)
        assert as_another(path) == {"error": "you are not in the broker's group"}


@needs_root
def test_the_group_may_ask(open_cluster: Cluster) -> None:
    host = open_cluster.hosts[1]
    group = next(each for each in grp.getgrall() if each.gr_gid not in (0, NOBODY))
    with served(host, group.gr_name):
        path = host.run_dir / "broker.sock"
        assert path.stat().st_gid == group.gr_gid
        assert as_another(path, group.gr_gid) == {"age_s": None}
        path.chmod(0o666)
        assert as_another(path) == {"error": "you are not in the broker's group"}


@needs_root
@pytest.mark.parametrize(
    "call",
    [
        "join()",
        "leave()",
        "write_slot(bytes(4096))",
        "mend_global(True)",
        "report({'state': 'EngineUp', 'why': 'no reason'})",
    ],
)
def test_what_is_the_agents_is_refused_to_members_of_the_group(
    open_cluster: Cluster, call: str
) -> None:
    host = open_cluster.hosts[1]
    group = next(each for each in grp.getgrall() if each.gr_gid not in (0, NOBODY))
    with served(host, group.gr_name) as service:
        before = service.last_report()
        said = as_another(host.run_dir / "broker.sock", group.gr_gid, call)
        assert said["error"].endswith("is for the agent alone")
        assert service.last_report() == before
        said = as_another(host.run_dir / "broker.sock", group.gr_gid, "maintenance(local=True)")
        assert said["found"].startswith("Maintenance(local=True")


@needs_root
def test_members_of_the_group_can_not_end_the_vm(open_cluster: Cluster) -> None:
    host = open_cluster.hosts[1]
    group = next(each for each in grp.getgrall() if each.gr_gid not in (0, NOBODY))
    call = "_json('POST', '/v1/vm', {'order': 'poweroff'})"
    with served(host, group.gr_name):
        said = as_another(host.run_dir / "broker.sock", group.gr_gid, call)
        assert said["error"] == "only root and the daemons' own user may start or end the VM"
        assert host.client.report({"state": "EngineUp", "why": "it runs"}) == ()


# Orders about the VM.


def test_an_order_is_answered_to_the_agents_next_report(
    host: ClusterHost, service: BrokerService
) -> None:
    before = service.changes
    number = host.client.order_vm(Wanted.SHUT_DOWN)
    # The agent is woken.
    assert service.changes != before
    report = {"state": "EngineUp", "why": "it runs"}
    [order] = host.client.report(report)
    assert (order.number, order.wanted, order.by) == (number, Wanted.SHUT_DOWN, os.geteuid())
    assert host.client.report(report) == ()


@pytest.mark.usefixtures("service")
def test_what_is_no_order_is_refused(host: ClusterHost) -> None:
    with pytest.raises(BrokerError, match="expected an order \\(start, start-paused"):
        host.client._json("POST", "/v1/vm", {"order": "stop"})


# Clients that close their own direction.


def test_a_client_that_closes_its_direction_gets_its_answer(host: ClusterHost) -> None:
    with served(host), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(host.run_dir / "broker.sock"))
        body = b'{"local": true}'
        head = f"PUT /v1/maintenance HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b'{"local": true, "global": false}' in answer


# One broker a socket.


def test_a_second_broker_is_refused_and_a_stale_socket_replaced(tmp_path: Path) -> None:
    path = tmp_path / "broker.sock"
    first = bind(path, None)
    with pytest.raises(HeFsmError, match="another broker runs here"):
        bind(path, None)
    assert path.is_socket()
    # What kill -9 leaves: the socket's file, and no lock.
    os.close(first.claim.descriptor)
    first.socket.close()
    assert path.is_socket()
    second = bind(path, None)
    assert path.is_socket()
    second.close()
    assert not path.exists()


def test_a_socket_that_can_not_be_made_is_said(tmp_path: Path) -> None:
    with pytest.raises(HeFsmError, match=r"can't make .*: No such file or directory"):
        bind(tmp_path / "missing" / "broker.sock", None)
    (tmp_path / "broker.sock").mkdir()
    with pytest.raises(HeFsmError, match="can't listen on"):
        bind(tmp_path / "broker.sock", None)
    with pytest.raises(HeFsmError, match=r"can't listen on .*too long"):
        bind(tmp_path / ("long" * 30 + ".sock"), None)


def test_a_group_that_is_not_there_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bind(tmp_path / "broker.sock", "no-such-group-here").close()
    assert "there is no group no-such-group-here" in caplog.text


# Metrics.


def test_prometheus_can_read_the_metrics(
    host: ClusterHost, client: BrokerClient, cluster: Cluster
) -> None:
    client.join()
    client.write_slot(encode_slot(RECORD, RECORD.text))
    client.report({"state": "EngineDown", "why": "because", "alive": [1], "worked_s": 0.02})

    def samples() -> dict[tuple[str, ...], float]:
        status, data, kind = ask(host, "GET", "/metrics")
        assert (status, kind.split(";")[0]) == (200, "text/plain")
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(data.decode())
            for sample in family.samples
        }

    found = samples()
    assert found["he_fsm_score", "1"] == 2400
    assert found["he_fsm_state", "EngineDown"] == 1
    assert found["he_fsm_state", "EngineUp"] == 0
    assert found["he_fsm_alive",] == 1
    assert found["he_fsm_agent_look_seconds",] == 0.02
    assert found["he_fsm_lease_owner",] == 0
    assert found["he_fsm_host_id_held",] == 1
    assert found["he_fsm_maintenance", "local"] == 0
    assert found["he_fsm_broker_actions_total", "slot_writes"] == 1
    assert found["he_fsm_storage_readable",] == 1
    assert found["he_fsm_monitor_age_seconds", "network"] < 60
    with storage_away(cluster):
        until(lambda: samples()["he_fsm_storage_readable",] == 0)
        until(lambda: ("he_fsm_lease_owner",) not in samples())
        found = samples()
    assert found["he_fsm_storage_read_age_seconds",] >= 0
    assert ("he_fsm_lease_owner",) not in found
