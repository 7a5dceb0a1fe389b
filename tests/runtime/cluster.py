"""A scratch cluster for tests: folders, configurations, and the real daemons of some hosts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Optional

import attrs
import psutil
import yaml
from aiohttp import web

from he_fsm import TALK
from he_fsm.errors import HeFsmError
from he_fsm.metadata import Whiteboard
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.broker.half_closing import serve
from he_fsm.runtime.broker.listener import bind
from he_fsm.runtime.broker.server import BrokerServer
from he_fsm.runtime.broker.service import BrokerService
from he_fsm.runtime.broker_parts import make_service
from he_fsm.runtime.config import load_config
from he_fsm.runtime.hypervisors.process.vm.witness import DOUBLE, read_log
from he_fsm.runtime.hypervisors.vm_file import VmFile, VmRecord
from he_fsm.runtime.leases.files.records import create_lockspace
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile, create
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.process.embedded_hosts import free_port

# Functions of `he_fsm.cli.daemons`.
AGENT, BROKER = "agent", "broker"
# A loop takes half a second then, a boot one.
SPEED = 20.0
# Not so fast: a host's daemons are restarted within 8 of these, also on a busy machine.
IO_TIMEOUT_S = 1.5


def policy_at(speed: float) -> dict[str, Any]:
    """Return policy `talk`, its times shorter by *speed*, as a configuration has it."""
    times = [field.name for field in attrs.fields(type(TALK)) if field.name.endswith("_s")]
    policy = {name: getattr(TALK, name) / speed for name in times}
    return {"base": "talk", **policy, "io_timeout_s": IO_TIMEOUT_S}


def merged(plain: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return *plain* with other values, section by section."""
    found = dict(plain)
    for key, value in changes.items():
        before: Any = found.get(key)
        is_section = isinstance(before, dict) and isinstance(value, Mapping)
        found[key] = merged(before, value) if is_section else value
    return found


class ClusterHost:
    """One host: its folders, its configuration, its processes."""

    def __init__(self, cluster: Cluster, host_id: int) -> None:
        self.id = host_id
        self.folder = cluster.folder / f"host{host_id}"
        self.run_dir = self.folder / "run"
        self.state_dir = self.folder / "state"
        self.monitors = self.folder / "monitors"
        self.storage = self.folder / "storage"
        for folder in (self.run_dir, self.state_dir, self.monitors):
            folder.mkdir(parents=True)
        self.storage.symlink_to(cluster.shared)
        (cluster.folder / "hosts" / str(host_id)).symlink_to(self.run_dir)
        self.measure(network="1", bridge="1", memory="12367 0.1", cpu="0.05")
        self.path = self.folder / "config.yaml"
        self.plain = self._plain(cluster)
        self.configure()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.vm_file = VmFile(self.run_dir / "vm.json")

    def _plain(self, cluster: Cluster) -> dict[str, Any]:
        speed = cluster.speed
        return {
            "host": {"id": self.id, "hostname": f"host{self.id}"},
            "run_dir": str(self.run_dir),
            "state_dir": str(self.state_dir),
            "group": None,
            "ovirt": None,
            "storage": {"path": str(self.storage), "deadline": 4.0 / speed},
            "hypervisor": {
                "port": cluster.port,
                "boot": 20.0 / speed,
                "start": 5.0 / speed,
                "shutdown": 20.0 / speed,
                "migration": 15.0 / speed,
                "hosts_dir": str(cluster.folder / "hosts"),
            },
            "engine": {"health": {"timeout": 1.0}},
            "monitors": {
                "interval": 5.0 / speed,
                "network": {"test": "file", "path": str(self.monitors / "network")},
                "bridge": {"path": str(self.monitors / "bridge")},
                "memory": {"path": str(self.monitors / "memory")},
                "cpu": {"path": str(self.monitors / "cpu")},
            },
            "policy": policy_at(speed),
        }

    def measure(self, **texts: str) -> None:
        """Make monitors read other values."""
        for name, text in texts.items():
            new = self.monitors / f"{name}.new"
            new.write_text(f"{text}\n", encoding="ascii")
            new.replace(self.monitors / name)

    def configure(self, **changes: Any) -> None:
        """Write the configuration, with other values from now on."""
        self.plain = merged(self.plain, changes)
        self.path.write_text(yaml.safe_dump(self.plain), encoding="utf-8")

    # Processes.

    def start(self, *daemons: str, environ: Optional[Mapping[str, str]] = None) -> None:
        """Start daemons, both where none is named."""
        for daemon in daemons or (BROKER, AGENT):
            with self.log_path(daemon).open("ab") as log:
                self.processes[daemon] = subprocess.Popen(
                    self.command(daemon),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **(environ or {})},
                    start_new_session=True,
                )

    def command(self, daemon: str, *arguments: str) -> list[str]:
        code = f"from he_fsm.cli.daemons import {daemon}; {daemon}()"
        return [sys.executable, "-c", code, "--config", str(self.path), *arguments]

    def run(self, daemon: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a daemon that is expected to end by itself."""
        return subprocess.run(
            self.command(daemon, *arguments),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def signal(self, daemon: str, number: signal.Signals) -> None:
        self.processes[daemon].send_signal(number)

    def wait(self, daemon: str) -> int:
        """Wait for a daemon's end; give its exit status."""
        return self.processes.pop(daemon).wait(timeout=20)

    def kill(self, daemon: str) -> None:
        self.signal(daemon, signal.SIGKILL)
        self.wait(daemon)

    def stop(self, *daemons: str) -> list[int]:
        """End daemons (all that run) at once, cleanly; give their exit statuses."""
        wanted = daemons or tuple(self.processes)
        for daemon in wanted:
            self.signal(daemon, signal.SIGTERM)
        return [self.wait(daemon) for daemon in wanted]

    def log_path(self, daemon: str) -> Path:
        return self.folder / ("agent.log" if daemon == AGENT else "broker.log")

    def log(self, daemon: str) -> str:
        path = self.log_path(daemon)
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def worker(self) -> psutil.Process:
        """Return the broker's storage worker, once there is one."""
        found: list[psutil.Process] = []

        def is_there() -> bool:
            found[:] = _children(self.processes[BROKER].pid)
            return bool(found)

        until(is_there)
        return found[0]

    # What is seen of it.

    @property
    def client(self) -> BrokerClient:
        return BrokerClient(str(self.run_dir / "broker.sock"), 5.0)

    def report(self) -> dict[str, Any]:
        """Return the agent's last report; empty: there is none."""
        with suppress(HeFsmError):
            report = self.client.last_report()
            return report if "state" in report else {}
        return {}

    def status(self) -> dict[str, Any]:
        """Return the broker's status; empty: it does not answer."""
        with suppress(HeFsmError):
            return self.client.status()
        return {}

    def reads_storage(self) -> bool:
        """Return whether the broker answers, and can read the shared storage."""
        return bool(self.status().get("storage") == "ok")

    @property
    def state(self) -> Optional[str]:
        """The agent's state, where it has reported of late."""
        report = self.report()
        return report["state"] if report and report["age_s"] < 5.0 else None

    def vm(self) -> Optional[VmRecord]:
        record = self.vm_file.read()
        return record if record is not None and record.is_here else None


class Cluster:
    """The hosts, and the storage that they share; `tear_down` leaves no process behind."""

    def __init__(self, folder: Path, ids: tuple[int, ...] = (1, 2), speed: float = SPEED) -> None:
        self.folder = folder
        self.speed = speed
        self.port = free_port()
        self.shared = folder / "shared"
        self.shared.mkdir(parents=True)
        (folder / "hosts").mkdir()
        create(self.shared / "whiteboard", max(ids))
        create_lockspace(self.shared / "leases")
        self.whiteboard = WhiteboardFile(self.shared / "whiteboard")
        self.hosts = {host_id: ClusterHost(self, host_id) for host_id in ids}

    def start(self) -> None:
        for host in self.hosts.values():
            host.start()

    def read(self) -> Whiteboard:
        return Whiteboard.parse(self.whiteboard.read())

    def engines(self) -> list[int]:
        """Return the hosts whose agents say that the engine is up and well there."""
        return [host.id for host in self.hosts.values() if host.state == "EngineUp" and host.vm()]

    def engine_is_up(self) -> ClusterHost:
        """Wait until the engine is up on one host and no agent is in `Unknown`; return it."""
        # A moment later it may be elsewhere.
        found: list[int] = []

        def is_settled() -> bool:
            states = [host.state for host in self.hosts.values()]
            found[:] = self.engines()
            return len(found) == 1 and all(states) and "Unknown" not in states

        until(is_settled, within_s=40.0)
        return self.hosts[found[0]]

    def witnessed(self) -> list[str]:
        return [line.word for line in read_log(self.shared / "witness")]

    def left_over(self) -> list[psutil.Process]:
        """Return every living process that has to do with this cluster."""
        return list(_processes_about(str(self.folder)))

    def tear_down(self) -> None:
        """End everything; fails where two VMs executed or something is left."""
        workers = [
            child
            for host in self.hosts.values()
            if BROKER in host.processes
            for child in _children(host.processes[BROKER].pid)
        ]
        for host in self.hosts.values():
            for process in host.processes.values():
                process.kill()
                process.wait()
        # VMs, and what had just begun to start one.
        for left in self.left_over():
            with suppress(psutil.NoSuchProcess):
                left.kill()
        until(lambda: not self.left_over())
        # A worker ends by itself when its broker has gone.
        assert psutil.wait_procs(workers, timeout=10)[1] == []
        assert DOUBLE not in self.witnessed()


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []


def _processes_about(folder: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and any(
                folder in word for word in process.cmdline()
            ):
                yield process
        except psutil.NoSuchProcess:
            continue


@contextmanager
def served(host: ClusterHost, group: Optional[str] = None) -> Iterator[BrokerService]:
    """Serve a host's broker on its real socket from a thread of this process."""
    service = make_service(load_config(host.path))
    listener = bind(host.run_dir / "broker.sock", group)
    server = BrokerServer(service, group)
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(server.app, access_log=None, shutdown_timeout=1.0)

    async def begin() -> asyncio.AbstractServer:
        await runner.setup()
        return await serve(runner, listener.socket)

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        listening = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
        yield service
    finally:
        loop.call_soon_threadsafe(listening.close)
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        service.close()
        listener.close()


@contextmanager
def storage_away(cluster: Cluster) -> Iterator[None]:
    """Take the shared storage away for a while, as if it were unmounted."""
    away = cluster.folder / "away"
    cluster.shared.rename(away)
    try:
        yield
    finally:
        away.rename(cluster.shared)


@contextmanager
def whiteboard_hung(cluster: Cluster) -> Iterator[None]:
    """Put a pipe in the whiteboard's place, so that opening it blocks for ever."""
    path, away = cluster.shared / "whiteboard", cluster.shared / "whiteboard.away"
    path.rename(away)
    os.mkfifo(path)
    try:
        yield
    finally:
        away.replace(path)
