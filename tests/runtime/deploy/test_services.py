"""A program, or a unit of systemd, in place of a VM: deployed, and taken over by another host."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.runtime.cluster import SPEED
from tests.runtime.deploy.deploying import GATEWAY, DeployedHost, DeploySite
from tests.runtime.hypervisors.qemu.qemu_hosts import short_folder
from tests.runtime.hypervisors.systemd.systemd_hosts import UNIT, Systemd

PROGRAM = Path(__file__).parents[1] / "hypervisors" / "command" / "service.py"


class ServiceSite(DeploySite):
    """A service that has a page; all hosts are on this machine."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.program = folder / "service.py"
        shutil.copy(PROGRAM, self.program)
        self.buses: dict[str, Systemd] = {}

    def settings(self, folder: Path) -> dict[str, Any]:
        """Return what the embedded VM has no share in."""
        plain = super().settings(folder)
        plain["hypervisor"] = {"health_timeout": 2.0}
        plain["policy"]["stop_timeout_s"] = 200.0 / SPEED
        return plain

    @property
    def run_words(self) -> str:
        """The program, as a user types it."""
        return f"{sys.executable} {self.program} {self.port}"

    def words(self, host: DeployedHost, kind: str, *more: str) -> list[str]:
        """Return the words of an unattended deployment of a service."""
        answers = ["--hypervisor", kind, "--leases", "embedded", "--storage", str(self.shared)]
        answers += ["--gateway", GATEWAY, "--hostname", host.name, "--service-memory-mb", "1"]
        answers += ["--service-health", f"http://127.0.0.1:{self.port}/", "--yes"]
        return ["deploy", *host.words(*answers, *more)]

    def joins(self, host: DeployedHost) -> list[str]:
        """Return the words of a further host."""
        words = ["--storage", str(self.shared), "--hostname", host.name, "--yes"]
        return ["deploy", *host.words(*words)]

    def tear_down(self) -> None:
        """End the buses and their units, too."""
        for bus in self.buses.values():
            bus.kill()
        super().tear_down()


@pytest.fixture
def services() -> Iterator[ServiceSite]:
    with short_folder() as folder:
        site = ServiceSite(folder)
        yield site
        site.tear_down()


def test_a_program_is_deployed_and_stopped_again(services: ServiceSite) -> None:
    host = services.host(1)
    done = services.run(services.words(host, "command", "--run", services.run_words))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "Starting the service" in done.stdout
    assert "The service is well" in done.stdout
    assert "VM" not in done.stdout.partition("PREVIEW")[2]
    assert services.left_over() == []
    written = yaml.safe_load(host.config.read_text(encoding="utf-8"))
    assert written["hypervisor"]["run"] == services.run_words.split()
    assert written["policy"]["move_by_restart"] is True


@pytest.mark.long
def test_a_program_that_another_host_takes_over(services: ServiceSite) -> None:
    first, second = services.host(1), services.host(2)
    done = services.run(services.words(first, "command", "--run", services.run_words))
    assert done.returncode == 0, done.stdout
    first.start()
    assert services.engine_is_up() is first
    joined = services.run(services.joins(second))
    assert (joined.returncode, joined.stderr) == (0, ""), joined.stdout
    second.start()
    first.lose_power()
    assert services.engine_is_up() is second


@pytest.mark.long
def test_a_program_that_ends_at_once_leaves_nothing(services: ServiceSite) -> None:
    host = services.host(1)
    before = services.tree()
    words = services.words(host, "command", "--run", f"{services.run_words} dies")
    done = services.run([*words, "--install-timeout", "60s"])
    assert done.returncode == 1
    assert "Starting the service: the service ended during the start" in done.stdout
    assert "Nothing is left of this deployment" in done.stdout
    assert services.tree() == before
    again = services.run(services.words(host, "command", "--run", services.run_words))
    assert again.returncode == 0, again.stdout


@pytest.mark.long
def test_a_unit_that_another_host_takes_over(services: ServiceSite) -> None:
    """systemd is a double on a bus of each host: none runs here as the system's."""
    pytest.importorskip("jeepney")
    hosts = []
    for number in (1, 2):
        folder = services.folder / f"bus{number}"
        bus = services.buses[f"bus{number}"] = Systemd(folder)
        bus.write({UNIT: {"run": services.run_words.split()}})
        hosts.append(services.host(number, hypervisor={"bus": bus.address}))
    first, second = hosts
    done = services.run(services.words(first, "systemd", "--unit", UNIT))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    first.start()
    assert services.engine_is_up() is first
    assert services.buses["bus1"].is_active()
    joined = services.run(services.joins(second))
    assert (joined.returncode, joined.stderr) == (0, ""), joined.stdout
    second.start()
    # Its power: systemd with its units, and all that is he_fsm's.
    services.buses["bus1"].kill()
    for process in services.left_over(str(services.program)):
        process.kill()
    first.lose_power()
    assert services.engine_is_up() is second
    assert services.buses["bus2"].is_active()


@pytest.mark.long
def test_a_unit_that_systemd_starts_by_itself_is_refused(services: ServiceSite) -> None:
    pytest.importorskip("jeepney")
    bus = services.buses["bus"] = Systemd(services.folder / "bus")
    bus.write({UNIT: {"run": services.run_words.split(), "file_state": "enabled"}})
    host = services.host(1, hypervisor={"bus": bus.address})
    before = services.tree()
    done = services.run(services.words(host, "systemd", "--unit", UNIT))
    assert done.returncode == 2
    assert f"systemctl disable {UNIT}" in done.stderr
    assert services.tree() == before


REFUSED = {
    "no program": (["--run", "/nowhere/program -x"], "there is no program /nowhere/program here"),
    "no quote": (["--run", "program 'x"], '--run: "program \'x" is no command like'),
    "no signal": (["--stop-by", "SIGNOTHING"], "--stop-by: 'SIGNOTHING' is no signal like SIGTERM"),
    "no page": (["--service-health", "http://"], "--service-health: 'http://' is no address of"),
    "no disk": (["--storage-type", "tape"], "--storage-type: 'tape' is none of glusterfs"),
}


@pytest.mark.long
@pytest.mark.parametrize("case", REFUSED)
def test_an_answer_that_can_t_be_used(services: ServiceSite, case: str) -> None:
    host = services.host(1)
    words, said = REFUSED[case]
    done = services.run(services.words(host, "command", "--run", services.run_words, *words))
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
