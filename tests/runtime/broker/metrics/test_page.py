"""The metrics over TCP: served at loopback, by name elsewhere, and never in the agent's way."""

from __future__ import annotations

import http.client
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from he_fsm.errors import ConfigError
from he_fsm.runtime.config import load_config
from he_fsm.runtime.parts import findings
from he_fsm.testing.vm_hosts import free_port
from he_fsm.testing.waiting import until
from tests.cli.conftest import command_line, environment
from tests.runtime.cluster import BROKER, Cluster, ClusterHost
from tests.runtime.deploy.deploying import ENDS_S

PAGE = Path(__file__).parents[4] / "docs" / "metrics.md"
Found = dict[tuple[str, ...], float]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    # The paths of sockets are short.
    with tempfile.TemporaryDirectory(prefix="hf-") as folder:
        cluster = Cluster(Path(folder))
        yield cluster
        cluster.tear_down()


def get(port: int, path: str = "/metrics", method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def parsed(text: str) -> Found:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def samples(port: int) -> Found:
    with suppress(OSError):
        status, text = get(port)
        assert status == 200
        return parsed(text)
    return {}


def served(host: ClusterHost, **section: object) -> int:
    port = free_port()
    host.configure(metrics={"port": port, **section})
    return port


def test_where_the_engine_is_and_what_has_happened(cluster: Cluster) -> None:
    """Two hosts that run; then the VM dies, which is counted where it ran."""
    ports = {host.id: served(host) for host in cluster.hosts.values()}
    cluster.start()
    host = cluster.engine_is_up()
    port = ports[host.id]
    until(lambda: samples(port).get(("he_fsm_engine_healthy", str(host.id))) == 1)
    found = samples(port)
    other = 3 - host.id
    assert found["he_fsm_engine_host",] == host.id
    assert found["he_fsm_engine_up", str(other)] == 0
    assert found["he_fsm_host_id",] == host.id
    assert found["he_fsm_broker_up",] == 1
    assert found["he_fsm_starts_failed_total",] == found["he_fsm_runs_ended_badly_total",] == 0
    assert found["he_fsm_lease_left_seconds",] > found["he_fsm_watchdog_margin_seconds",] > 0
    assert found["he_fsm_slots_damaged",] == 0
    edges = {key[2:4] for key in found if key[0] == "he_fsm_transitions_total"}
    assert ("EngineStarting", "EngineUp") in edges
    assert any(key[0] == "he_fsm_build_info" for key in found)
    page = PAGE.read_text(encoding="utf-8")
    assert [key[0] for key in found if f"`{key[0]}`" not in page] == []
    # The host without the engine has nothing that a watchdog could end.
    assert ("he_fsm_watchdog_margin_seconds",) not in samples(ports[other])
    assert samples(ports[other])["he_fsm_engine_host",] == host.id
    # Nothing else is served there.
    assert get(port, "/v1/status")[0] == 404
    assert get(port, "/metrics", "POST")[0] == 405
    _an_end_is_counted(host, port)


def _an_end_is_counted(host: ClusterHost, port: int) -> None:
    vm = host.vm()
    assert vm is not None
    host.kill("agent")
    until(lambda: samples(port)["he_fsm_agent_report_age_seconds",] > 2)
    # What the agent said is old: where the engine is, is not known any more.
    assert ("he_fsm_engine_host",) not in samples(port)


def test_a_port_that_another_program_has(cluster: Cluster) -> None:
    """The broker serves its socket all the same, and says what is wrong."""
    host = cluster.hosts[1]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        host.configure(metrics={"port": port})
        host.start(BROKER)
        until(host.reads_storage)
        until(lambda: "metrics are not served" in host.log(BROKER))
    line = f"metrics are not served at 127.0.0.1 port {port}: Address already in use"
    assert line in host.log(BROKER)
    assert host.stop() == [0]


def test_another_address_than_loopback_is_warned_of(cluster: Cluster) -> None:
    host = cluster.hosts[1]
    served(host, address="0.0.0.0")  # noqa: S104 - what the warning is about
    said = [str(finding) for finding in findings(load_config(host.path))]
    assert any("other machines can read the metrics at 0.0.0.0 port" in line for line in said)
    for quiet in ("127.0.0.1", "::1"):
        served(host, address=quiet)
        assert not any("metrics" in str(each) for each in findings(load_config(host.path)))


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"port": 70_000}, "metrics.port: expected"),
        ({"port": 9877, "address": "localhost"}, "expected an IP address like 127.0.0.1"),
        ({"port": 0}, "metrics.port: expected"),
        ({"prot": 9877}, "metrics.prot: unknown key, did you mean 'port'?"),
    ],
)
def test_a_section_that_can_t_be_used(
    cluster: Cluster, section: dict[str, object], said: str
) -> None:
    host = cluster.hosts[1]
    host.configure(metrics=section)
    with pytest.raises(ConfigError) as error:
        load_config(host.path)
    assert said in str(error.value)


def test_a_broker_that_listens_nowhere_serves_no_port(cluster: Cluster) -> None:
    host = cluster.hosts[1]
    host.configure(broker="embedded")
    load_config(host.path)
    served(host)
    with pytest.raises(ConfigError, match="the embedded broker listens nowhere"):
        load_config(host.path)


def test_the_command_writes_a_file_for_node_exporter(cluster: Cluster) -> None:
    """As a whole; also where the broker is gone, and then without old values."""
    host = cluster.hosts[1]
    target = cluster.folder / "he-fsm.prom"

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command_line("metrics", "--config", str(host.path), *map(str, words)),
            env=environment({}),
            capture_output=True,
            text=True,
            check=False,
            timeout=ENDS_S,
        )

    host.start(BROKER)
    until(host.reads_storage)
    done = run("--output", target)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert parsed(target.read_text(encoding="utf-8"))["he_fsm_storage_readable",] == 1
    assert target.stat().st_mode & 0o777 == 0o644
    assert parsed(run().stdout)["he_fsm_broker_up",] == 1
    refused = run("--output", cluster.folder / "he-fsm.txt")
    assert refused.returncode == 2
    assert "expected a name like he-fsm.prom, got 'he-fsm.txt'" in refused.stderr
    host.stop()
    gone = run("--output", target)
    assert gone.returncode == 2
    assert "does not answer" in gone.stderr
    left = parsed(target.read_text(encoding="utf-8"))
    assert left["he_fsm_broker_up",] == 0
    assert {key[0] for key in left} == {"he_fsm_broker_up", "he_fsm_build_info"}
    assert sorted(path.name for path in cluster.folder.glob("*.prom*")) == ["he-fsm.prom"]
