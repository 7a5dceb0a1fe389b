"""
A mixed cluster: oVirt's own agent on one host, he_fsm's on the other, one whiteboard.

`make interop VDSM=DIR HA=DIR` runs this. Real sanlock daemons, a real VM, the lab's vdsm behind
the real `vdsm.client` by TLS; oVirt's broker and agent at their own speed, so it takes minutes.
HE_FSM_REWRITE=1 writes the golden boards anew, by which CI knows what such a cluster's whiteboard
has (tests/metadata/test_mixed_boards.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Optional

import pytest
import yaml

from he_fsm.errors import HeFsmError, HypervisorError
from he_fsm.lab.guest.build import HEALTH_PAGE
from he_fsm.lab.ovirt.definition import VM_ID, vm_conf
from he_fsm.lab.sanlock.release import program
from he_fsm.metadata import Whiteboard
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile
from he_fsm.runtime.vdsm.client import OwnClient
from he_fsm.runtime.vdsm.connection import Address
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.qemu.qemu_hosts import short_folder
from tests.runtime.hypervisors.vdsm.original_host import (
    FIELDS_BYTES,
    SLOT_BYTES,
    OriginalHost,
    write_volumes,
)
from tests.runtime.hypervisors.vdsm.vdsm_hosts import VdsmLab
from tests.runtime.leases.sanlock.sanlock_lab import SPEED
from tests.runtime.vdsm.original import install
from tests.runtime.vdsm.scene import made_certificates

THEIRS, OURS = 1, 2
MINUTE = 60.0


class OurHost:
    """he_fsm's broker and agent on a host of the lab."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder = folder
        for name in ("run", "state"):
            (folder / name).mkdir(parents=True)
        self.path = folder / "config.yaml"
        self.path.write_text(yaml.safe_dump(config))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        for name in ("broker", "agent"):
            code = f"from he_fsm.cli.daemons import {name}; {name}()"
            with (self.folder / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-c", code, "--config", str(self.path)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )

    def stop(self) -> None:
        for name in ("agent", "broker"):
            process = self.processes.pop(name, None)
            if process is not None:
                process.terminate()
                process.wait(60)

    def kill(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.processes.clear()

    def log(self) -> str:
        return "".join((self.folder / f"{name}.log").read_text() for name in ("broker", "agent"))

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "he_fsm", *words, "--config", str(self.path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @property
    def client(self) -> BrokerClient:
        return BrokerClient(str(self.folder / "run" / "broker.sock"), 5.0)

    def state(self) -> Optional[str]:
        """Return the state that the agent last reported."""
        with suppress(HeFsmError):
            return self.client.last_report().get("state")
        return None

    def status(self) -> dict[str, Any]:
        """Return the broker's status; empty: it does not answer."""
        with suppress(HeFsmError):
            return self.client.status()
        return {}


class Mixed:
    """The cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.boards: dict[str, dict[str, list[str]]] = {}
        self.lab = VdsmLab(folder)
        certificates = made_certificates(folder / "pki")
        install(certificates)
        self.certificates = certificates
        self.lab.set_up(are_joined=False)
        daemon = self.lab.daemons[THEIRS]
        # As oVirt's agent asks for it.
        daemon.end()
        daemon.certificates = certificates
        daemon.begin()
        vm = self.lab.vm(THEIRS)
        text = vm_conf(self.lab.place(), vm.name, vm.memory)
        self.volumes = write_volumes(daemon.folder / "images", text)
        self.conf = folder / "vm.conf"
        self.conf.write_text(text)
        self._set_up_lockspace()
        # What else runs on this machine is no matter of these tests.
        (folder / "memory").write_text("12367 0.1\n")
        (folder / "cpu").write_text("0.05\n")
        self.original = OriginalHost(
            folder / "original",
            Path(os.environ["HE_FSM_INTEROP_HA"]),
            Path(os.environ["HE_FSM_INTEROP"]),
            daemon.folder / "images",
            host_id=THEIRS,
            domain=self._sanlock(THEIRS).lockspace,
            vdsm_port=daemon.port,
            page_port=self.lab.ports[THEIRS],
            page=HEALTH_PAGE,
            certificates=certificates,
            sanlock_dir=self._sanlock(THEIRS).run_dir,
        )
        self.ours = OurHost(folder / "ours", self._config())

    def _sanlock(self, host_id: int) -> Any:
        return self.lab.sanlock.at(host_id).settings

    def _set_up_lockspace(self) -> None:
        """Set up the lockspace by which oVirt's agents guard the whiteboard's slots."""
        place = f"hosted-engine:0:{self.volumes['lock']}:0"
        subprocess.run(
            [str(program()), "direct", "init", "-s", place, "-o", "2"],
            env={**os.environ, "SANLOCK_PRIVILEGED": "0"},
            check=True,
            capture_output=True,
        )

    def _config(self) -> dict[str, Any]:
        sanlock, daemon = self._sanlock(OURS), self.lab.daemons[OURS]
        folder = self.folder / "ours"
        return {
            "host": {"id": OURS, "hostname": "host2"},
            "run_dir": str(folder / "run"),
            "state_dir": str(folder / "state"),
            "group": None,
            "ovirt": None,
            "storage": {"path": str(folder), "whiteboard": str(self.volumes["board"])},
            "leases": "vdsm",
            "vdsm": {
                "domain": sanlock.lockspace,
                "volume": sanlock.resource,
                "path": sanlock.path,
                "resource_path": sanlock.resource_path,
                "resource_offset": sanlock.resource_offset,
                "run_dir": sanlock.run_dir,
                "clock_rate": SPEED,
            },
            "hypervisor": {
                "kind": "vdsm",
                "host": "127.0.0.1",
                "port": daemon.port,
                "tls": False,
                "vm_id": VM_ID,
                "conf": str(self.conf),
                "name": daemon.vm.name,
                "pid_dir": str(daemon.pid_dir),
                "driver_conf": str(daemon.driver_conf),
                "migrate": {"peers": "{hostname}"},
            },
            "engine": {"health": {"url": f"http://127.0.0.1:{self.lab.ports[OURS]}{HEALTH_PAGE}"}},
            "monitors": {
                "network": {"test": "none"},
                "bridge": {"name": "eth0"},
                "memory": {"path": str(self.folder / "memory")},
                "cpu": {"path": str(self.folder / "cpu")},
            },
            "policy": {
                "base": "ovirt",
                "io_timeout_s": self.lab.sanlock.io_timeout_s,
                "watchdog_s": self.lab.sanlock.watchdog_s,
                "kill_grace_s": 4.0,
            },
        }

    # What is seen.

    def note(self, moment: str) -> None:
        """Keep the whiteboard of a moment for the golden file."""
        whole = self.volumes["board"].read_bytes()
        self.boards[moment] = {}
        for number in (0, THEIRS, OURS):
            slot = whole[number * SLOT_BYTES :][:SLOT_BYTES]
            # What machines read, and the text for people.
            parts = (slot[:FIELDS_BYTES], slot[FIELDS_BYTES:])
            self.boards[moment][str(number)] = [part.rstrip(b"\0").decode() for part in parts]

    def write_golden(self) -> None:
        GOLDEN.write_text(json.dumps(self.boards, indent=1) + "\n", "ascii")

    def board(self) -> Whiteboard:
        return Whiteboard.parse(WhiteboardFile(self.volumes["board"]).read())

    def record(self, host_id: int) -> Any:
        return self.board().records.get(host_id)

    def runs_on(self) -> Optional[int]:
        """Return the host whose VM executes; fails where two do."""
        running = []
        for host_id in self.lab.daemons:
            with suppress(HypervisorError):
                [stats] = self.by_hand(host_id, "VM.getStats")
                if stats["status"] in ("Up", "Powering up"):
                    running.append(host_id)
        assert len(running) <= 1
        return running[0] if running else None

    def by_hand(self, host_id: int, method: str) -> Any:
        certificates = self.certificates if host_id == THEIRS else None
        client = OwnClient(Address("127.0.0.1", self.lab.daemons[host_id].port, certificates))
        try:
            return client.call(method, {"vmID": VM_ID}, 10.0)
        finally:
            client.close()

    def close(self) -> None:
        self.original.kill()
        self.ours.kill()
        self.lab.close()


@pytest.fixture(scope="module")
def mixed() -> Iterator[Mixed]:
    with short_folder() as folder:
        mixed = Mixed(folder)
        try:
            yield mixed
            if os.environ.get("HE_FSM_REWRITE"):
                mixed.write_golden()
        finally:
            mixed.close()


# One test after the other: each begins with what the one before has left.

GOLDEN = Path(__file__).parents[3] / "golden" / "mixed-boards.json"
# A cycle of the original's history, its loops, and a boot (seconds).
BEGINS_S = 4 * MINUTE
MOVES_S = 4 * MINUTE


def test_the_original_starts_the_engine_and_ours_takes_note(mixed: Mixed) -> None:
    mixed.original.start()
    until(lambda: mixed.original.state() == "EngineUp", BEGINS_S)
    mixed.ours.start()
    until(lambda: mixed.ours.state() == "EngineDown", MINUTE)
    until(lambda: "host2 (id: 2" in mixed.original.log(), 2 * MINUTE)
    theirs, ours = mixed.record(THEIRS), mixed.record(OURS)
    assert (theirs.engine.vm, theirs.engine.health) == ("up", "good")
    assert ours.engine.vm == "down"
    assert not theirs.stopped
    assert not ours.stopped
    assert mixed.runs_on() == THEIRS
    mixed.note("the engine is the original's")


def test_a_flag_that_ours_sets_the_original_obeys(mixed: Mixed) -> None:
    assert mixed.ours.command("maintenance", "global").returncode == 0
    until(lambda: mixed.original.state() == "GlobalMaintenance", MINUTE)
    mixed.note("ours has set global maintenance")
    assert mixed.ours.command("maintenance", "global", "--off").returncode == 0
    until(lambda: mixed.original.state() == "EngineUp", 2 * MINUTE)


def test_a_flag_that_the_original_sets_ours_obeys(mixed: Mixed) -> None:
    mixed.original.set_global_maintenance(is_on=True)
    until(lambda: mixed.ours.state() == "GlobalMaintenance", MINUTE)
    mixed.note("the original has set global maintenance")
    mixed.original.set_global_maintenance(is_on=False)
    until(lambda: mixed.ours.state() == "EngineDown", MINUTE)
    until(lambda: mixed.original.state() == "EngineUp", 2 * MINUTE)
    assert mixed.runs_on() == THEIRS


def test_the_engine_moves_from_the_original_to_ours(mixed: Mixed) -> None:
    mixed.original.stop("agent")
    until(lambda: mixed.record(THEIRS).stopped, MINUTE)
    # Its VM runs on, and has the lease: nobody else starts it.
    looked_until = time.monotonic() + 30
    while time.monotonic() < looked_until:
        assert mixed.runs_on() == THEIRS
        time.sleep(1)
    assert mixed.ours.state() == "EngineDown"
    mixed.note("the original has stopped beside its engine")
    mixed.by_hand(THEIRS, "VM.destroy")
    until(lambda: mixed.ours.state() == "EngineUp", MOVES_S)
    assert mixed.runs_on() == OURS
    assert mixed.record(OURS).engine.health == "good"
    mixed.note("the engine is ours")


def test_the_original_comes_back_and_leaves_the_engine_where_it_is(mixed: Mixed) -> None:
    before = mixed.original.log().count("Current state")
    mixed.original.start("agent")
    until(lambda: mixed.original.log().count("Current state") > before + 9, BEGINS_S)
    assert mixed.original.state() == "EngineDown"
    assert mixed.ours.state() == "EngineUp"
    assert mixed.runs_on() == OURS


def test_the_engine_moves_back_from_ours_to_the_original(mixed: Mixed) -> None:
    mixed.ours.stop()
    assert mixed.record(OURS).stopped
    mixed.note("ours has stopped beside its engine")
    # The original does not go by that, and may try to start the engine: the lease refuses it.
    looked_until = time.monotonic() + 2 * MINUTE
    while time.monotonic() < looked_until:
        assert mixed.runs_on() == OURS
        time.sleep(1)
    mixed.by_hand(OURS, "VM.destroy")
    until(lambda: mixed.original.state() == "EngineUp", MOVES_S + 10 * MINUTE)
    assert mixed.runs_on() == THEIRS
