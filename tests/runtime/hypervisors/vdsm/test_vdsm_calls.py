"""Calls through the back end over the real wire: their deadline, and that they leave nothing."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from he_fsm.errors import LockspaceError
from he_fsm.lab.ovirt.definition import VM_ID
from he_fsm.lab.vdsm.server import VdsmServer
from he_fsm.runtime.hypervisors.vdsm.here import Here, VdsmSettings
from he_fsm.runtime.hypervisors.vdsm.hypervisor import VdsmHypervisor
from he_fsm.runtime.hypervisors.vdsm.kind import connects
from he_fsm.runtime.hypervisors.vdsm.section import VdsmConfig
from he_fsm.runtime.ports import LeasePlace, LeaseSeen
from he_fsm.runtime.vdsm.interface import NO_SUCH_VM, VdsmError
from he_fsm.snapshot import VmState
from he_fsm.testing.waiting import until

DEADLINE_S = 1.0
CALLS = 10_000
# A loop of the agent's.
LOOP_S = 10.0
# What Python's own pools may keep.
MEMORY_BYTES = 4 << 20


class NoVm:
    """The verbs of a vdsm that has no VM, or never answers."""

    def __init__(self) -> None:
        self.hangs = threading.Event()
        self.ends = threading.Event()

    def call(self, method: str, params: Mapping[str, Any]) -> Any:
        if self.hangs.is_set():
            self.ends.wait()
        if method == "VM.getStats":
            raise VdsmError(NO_SUCH_VM, f"Virtual machine does not exist: {params}")
        return True


class NoSight:
    """Sees no lease."""

    place = LeasePlace(manager="sanlock", lockspace="he", resource="engine", path="/none")

    def seen(self) -> LeaseSeen:
        msg = "nobody asks here"
        raise LockspaceError(msg)

    def restore(self, pid: int) -> None:
        raise AssertionError(pid)


@pytest.fixture
def verbs() -> NoVm:
    return NoVm()


@pytest.fixture
def settings(verbs: NoVm, tmp_path: Path) -> Iterator[VdsmSettings]:
    server = VdsmServer(verbs)
    server.start()
    config = VdsmConfig(
        host="127.0.0.1",
        port=server.port,
        tls=False,
        pid_dir=tmp_path,
        deadline_s=DEADLINE_S,
    )
    yield VdsmSettings(host_id=1, run_dir=tmp_path, vm_id=VM_ID, config=config, lease_wait_s=10.0)
    verbs.ends.set()
    server.close()


def test_a_call_that_never_ends_delays_nobody_and_the_state_is_unknown_within_a_loop(
    settings: VdsmSettings, verbs: NoVm
) -> None:
    hypervisor = VdsmHypervisor(settings, NoSight(), connects(settings.config))
    try:
        assert hypervisor.observe().vm.state is VmState.ABSENT
        verbs.hangs.set()
        began_at = time.monotonic()
        until(lambda: hypervisor.observe().vm.state is VmState.UNKNOWN)
        assert time.monotonic() - began_at < LOOP_S
        began_at = time.monotonic()
        for _ in range(100):
            hypervisor.observe()
        hypervisor.shut_down()
        hypervisor.power_off()
        assert time.monotonic() - began_at < DEADLINE_S
        verbs.hangs.clear()
        verbs.ends.set()
        until(lambda: hypervisor.observe().vm.state is VmState.ABSENT)
    finally:
        hypervisor.close()


@pytest.mark.long
def test_ten_thousand_calls_leave_memory_descriptors_and_threads_as_they_were(
    settings: VdsmSettings,
) -> None:
    here = Here(settings, NoSight(), connects(settings.config))
    process = psutil.Process()
    try:
        for _ in range(CALLS // 10):
            assert here.look() is None
        gc.collect()
        before = process.num_fds(), threading.active_count(), process.memory_info().rss
        for _ in range(CALLS):
            assert here.look() is None
        gc.collect()
        after = process.num_fds(), threading.active_count(), process.memory_info().rss
    finally:
        here.close()
    assert after[0] == before[0]
    # A verb's own thread in the server may just be ending.
    assert after[1] <= before[1] + 1
    assert after[2] < before[2] + MEMORY_BYTES
