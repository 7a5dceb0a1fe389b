"""Two services on one pair of hosts: a configuration, daemons, a lease and a whiteboard each."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from he_fsm.runtime.config import load_config
from he_fsm.testing.vm_hosts import free_port
from he_fsm.testing.waiting import until
from tests.runtime.cluster import AGENT, Cluster, ClusterHost

_PROGRAM = Path(__file__).parents[1] / "hypervisors" / "command" / "service.py"
# Far above what it takes, on a machine that is busy (seconds).
WITHIN_S = 40.0


class Service:
    """One service: a cluster of its own, with folders beside those of the other service."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.cluster = Cluster(folder / name)
        self.program = folder / name / "service.py"
        shutil.copy(_PROGRAM, self.program)
        port = free_port()
        for host in self.cluster.hosts.values():
            host.configure(
                leases="embedded",
                hypervisor={
                    "kind": "command",
                    "name": name,
                    "run": [sys.executable, str(self.program), str(port), "children"],
                    "health": f"http://127.0.0.1:{port}/",
                },
                policy={"move_by_restart": True},
            )

    def programs(self) -> list[int]:
        """Return the processes of the program itself, not of what it has begun."""
        found = []
        for process in self.cluster.left_over():
            try:
                words = process.cmdline()
            except psutil.NoSuchProcess:
                continue
            if words[1:2] == [str(self.program)]:
                found.append(process.pid)
        return found


@pytest.fixture
def services(tmp_path: Path) -> Iterator[tuple[Service, Service]]:
    both = (Service(tmp_path, "database"), Service(tmp_path, "web"))
    for each in both:
        each.cluster.start()
    yield both
    for each in both:
        each.cluster.tear_down()


def is_up_on(service: Service, host_id: int) -> bool:
    return service.cluster.engines() == [host_id]


def test_each_service_lives_and_moves_on_its_own(services: tuple[Service, Service]) -> None:
    database, web = services
    home = {each.name: each.cluster.engine_is_up() for each in services}
    assert [len(each.programs()) for each in services] == [1, 1]
    [untouched] = web.programs()
    other = next(h for h in database.cluster.hosts.values() if h is not home["database"])

    # A death: the other service does not notice. The other host would be as good to start the
    # program, and on a busy machine its agent is as fast.
    other.client.maintenance(local=True)
    until(lambda: other.state == "LocalMaintenance", WITHIN_S)
    [before] = database.programs()
    began = time.monotonic()
    os.kill(before, signal.SIGKILL)
    until(lambda: database.programs() not in ([], [before]), WITHIN_S)
    took_s = time.monotonic() - began
    print(f"killed, executes again after {took_s:.2f} s")  # noqa: T201
    until(lambda: is_up_on(database, home["database"].id), WITHIN_S)
    assert "the program was ended by SIGKILL" in home["database"].log(AGENT)

    # A host that is not well for the one service is well for the other.
    other.client.maintenance(local=False)
    until(lambda: other.state == "EngineDown", WITHIN_S)
    home["database"].measure(network="0")
    until(lambda: is_up_on(database, other.id), WITHIN_S)
    assert len(database.programs()) == 1
    assert web.programs() == [untouched]
    assert is_up_on(web, home["web"].id)


def test_a_drain_is_a_stop_here_and_a_start_there(services: tuple[Service, Service]) -> None:
    _, web = services
    home = web.cluster.engine_is_up()
    home.client.maintenance(local=True)
    other = next(h for h in web.cluster.hosts.values() if h is not home)
    until(lambda: is_up_on(web, other.id), WITHIN_S)
    until(lambda: home.state == "LocalMaintenance", WITHIN_S)
    assert len(web.programs()) == 1


def test_two_agents_of_one_run_folder_are_refused(services: tuple[Service, Service]) -> None:
    database, web = services
    own: ClusterHost = database.cluster.hosts[1]
    web.cluster.engine_is_up()
    # Somebody has copied the other service's configuration, and not changed its folders.
    copied = own.path.with_name("copied.yaml")
    copied.write_text(web.cluster.hosts[1].path.read_text("utf-8"), "utf-8")
    assert load_config(copied).run_dir == web.cluster.hosts[1].run_dir
    own.path = copied
    refused = own.run(AGENT)
    assert refused.returncode == 4
    assert "another agent runs here" in refused.stderr
