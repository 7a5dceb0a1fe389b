"""What somebody does to the VM of a lab is so as soon as it is done, however busy the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from he_fsm.lab.embedded import EmbeddedLab
from he_fsm.lab.host import LabHost
from he_fsm.rehearse.lab_spec import spec_of
from he_fsm.runtime.hypervisors.vm_file import Phase, VmRecord, started_ticks
from he_fsm.testing.waiting import until
from tests.rehearse.scenes import scenario_of

pytestmark = pytest.mark.processes
TIMES = 50
FOR_EVER = [sys.executable, "-c", "while True: pass"]


@pytest.fixture
def busy() -> Iterator[list[subprocess.Popen[bytes]]]:
    """More processes than processors."""
    processes = [subprocess.Popen(FOR_EVER) for _ in range(2 * (os.cpu_count() or 1))]
    yield processes
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def host(labs: Path) -> Iterator[LabHost]:
    folder = labs / "lab"
    folder.mkdir()
    lab = EmbeddedLab(spec_of(scenario_of("hosts: 1\nuntil: 10s"), 10.0), folder)
    yield lab.hosts["1"]
    lab.close()
    shutil.rmtree(folder)


def test_a_vm_is_paused_as_soon_as_it_was_ordered_to(
    host: LabHost, busy: list[subprocess.Popen[bytes]]
):
    pid = busy[0].pid
    os.setpriority(os.PRIO_PROCESS, pid, 19)
    record = VmRecord(
        pid=pid,
        started_ticks=started_ticks(pid),
        phase=Phase.RUNNING,
        port=0,
        since=time.monotonic(),
    )
    host.vm_file.write(record)
    for _ in range(TIMES):
        host.order_engine("pause")
        assert host.is_paused(record)
        host.order_engine("resume")
        assert not host.is_paused(record)


def test_a_daemon_that_stands_still_by_itself_does_so_when_its_host_goes_on(host: LabHost):
    host.write_config()
    host.start_broker()
    host.start_agent()
    host.is_powered = True
    host.freeze("broker")
    host.stop_all()
    host.go_on()
    agent, broker = (psutil.Process(process.pid) for process in running(host))
    until(lambda: broker.status() == psutil.STATUS_STOPPED)
    until(lambda: agent.status() != psutil.STATUS_STOPPED)
    host.thaw("broker")
    until(lambda: broker.status() != psutil.STATUS_STOPPED)


def running(host: LabHost) -> list[subprocess.Popen[bytes]]:
    return [each for each in (host.agent_process, host.broker_process) if each is not None]
