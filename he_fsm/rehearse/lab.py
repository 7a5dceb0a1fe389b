"""A scratch cluster: folders, configurations and processes of several hosts on one machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import attrs
import psutil
import yaml

from he_fsm.errors import HeFsmError
from he_fsm.memory import FailedStarts, Memory
from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.policy import Policy
from he_fsm.rehearse.masks import Mask
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.hypervisors.embedded import (
    REPORT,
    STATE,
    EmbeddedHypervisor,
    EmbeddedSettings,
)
from he_fsm.runtime.hypervisors.faults import Faults
from he_fsm.runtime.hypervisors.vm_file import VmFile, VmRecord
from he_fsm.runtime.leases.hold import EmbeddedHolder
from he_fsm.runtime.leases.records import create_lockspace
from he_fsm.runtime.memory_file import MemoryFile, write_json
from he_fsm.runtime.parts import WITNESS
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile, create
from he_fsm.scenario.model import Host, Scenario

# Share of a (scaled) loop within which storage has to answer.
_DEADLINE_SHARE = 0.4
_ENDS_WITHIN_S = 10.0
_LOOK_S = 0.002


def scaled(policy: Policy, speed: float) -> Policy:
    """Give the policy with all its times shorter by *speed*."""
    times = {
        field.name: getattr(policy, field.name) / speed
        for field in attrs.fields(Policy)
        if field.name.endswith("_s")
    }
    return attrs.evolve(policy, **times)


def free_port() -> int:
    """Give a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processes_about(folder: Path) -> Iterator[psutil.Process]:
    """Give the living processes, but this one, that work in *folder* or have it as an argument."""
    for process in psutil.process_iter():
        try:
            is_about = (
                process.pid != os.getpid()
                and process.status() != psutil.STATUS_ZOMBIE
                and (
                    folder in (Path(process.cwd()), *Path(process.cwd()).parents)
                    or any(f"{folder}/" in argument for argument in process.cmdline())
                )
            )
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if is_about:
            yield process


class LabHost:
    """One host of the lab: its folder, and the processes that play it."""

    def __init__(self, lab: Lab, config: Host) -> None:
        """Make the folder and the configuration; nothing runs yet."""
        self.lab = lab
        self.config = config
        self.folder = lab.folder / "hosts" / config.name
        self.run_dir = self.folder / "run"
        self.state_dir = self.folder / "state"
        self.monitors_dir = self.folder / "monitors"
        for folder in (self.run_dir, self.state_dir, self.monitors_dir):
            folder.mkdir(parents=True)
        self.storage = self.folder / "storage"
        self.storage.symlink_to(lab.shared)
        by_id = lab.folder / "by-id" / str(config.id)
        if not by_id.is_symlink():
            by_id.symlink_to(self.run_dir)
        self.faults = Faults(self.run_dir)
        self.vm_file = VmFile(self.run_dir / STATE)
        self.broker_process: Optional[subprocess.Popen[bytes]] = None
        self.agent_process: Optional[subprocess.Popen[bytes]] = None
        self.is_powered = False
        self.is_frozen = False
        # Counts power cycles: a boot under way belongs to one.
        self.boot = 0
        self.version = 1
        # Within it the storage has to answer (real seconds).
        self.deadline_s = lab.policy.loop_s * _DEADLINE_SHARE
        self.monitors = {
            "gateway": config.gateway,
            "bridge": config.bridge,
            "mem_free": config.mem_free,
            "cpu_load": config.cpu_load,
            "mem_load": config.mem_load,
        }

    @property
    def name(self) -> str:
        """The host's name in the scenario."""
        return self.config.name

    @property
    def client(self) -> BrokerClient:
        """A client of this host's broker."""
        return BrokerClient(str(self.run_dir / "broker.sock"), 1.0)

    def write_monitors(self, **values: float) -> None:
        """Let the monitors read these values from their next look on."""
        self.monitors.update(values)
        lines = {
            "network": f"{self.monitors['gateway']:g}",
            "bridge": f"{self.monitors['bridge']:g}",
            "memory": f"{self.monitors['mem_free']:g} {self.monitors['mem_load']:g}",
            "cpu": f"{self.monitors['cpu_load']:g}",
        }
        for name, line in lines.items():
            path = self.monitors_dir / name
            unfinished = path.with_suffix(".new")
            unfinished.write_text(line + "\n", encoding="ascii")
            unfinished.replace(path)

    def write_config(self) -> None:
        """Write the daemons' configuration file."""
        lab, times = self.lab, self.lab.scenario.world
        policy = {
            field.name: getattr(lab.policy, field.name)
            for field in attrs.fields(Policy)
            if field.name != "name"
        }
        speed = lab.speed
        plain = {
            "host": {"id": self.config.id, "hostname": self.config.hostname},
            "run_dir": str(self.run_dir),
            "state_dir": str(self.state_dir),
            "group": None,
            "ovirt": None,
            "storage": {
                "path": str(self.storage),
                "deadline": self.deadline_s,
            },
            "hypervisor": {
                "port": lab.port,
                "start": times.vm_start_s / speed,
                "boot": times.vm_boot_s / speed,
                "shutdown": times.vm_shutdown_s / speed,
                "migration": times.migration_s / speed,
                "hosts_dir": str(lab.folder / "by-id"),
            },
            "engine": {"memory": lab.scenario.engine.memory, "health": {"timeout": 2.0}},
            "monitors": {
                # Health and gateway are looked at a little more often than the loop.
                "interval": lab.policy.loop_s / 2,
                "network": {"test": "file", "path": str(self.monitors_dir / "network")},
                "bridge": {"path": str(self.monitors_dir / "bridge")},
                "memory": {"path": str(self.monitors_dir / "memory")},
                "cpu": {"path": str(self.monitors_dir / "cpu")},
            },
            "policy": policy,
            "parse_version": self.version,
        }
        text = yaml.safe_dump(plain, sort_keys=False)
        (self.folder / "config.yaml").write_text(text, encoding="utf-8")

    def remember_failed_starts(self, count: int, last_at: float) -> None:
        """Leave on the host's disk what its agent would remember (monotonic clock, seconds)."""
        failed = FailedStarts(count=count, last_at=last_at)
        memory = attrs.evolve(Memory(), failed=failed)
        MemoryFile(self.state_dir / "memory.json").save(memory, time.monotonic())

    def set_local_flag(self, *, is_set: bool) -> None:
        """Set the local flag while no broker runs."""
        write_json(self.state_dir / "flags.json", {"local_maintenance": is_set})

    # Processes.

    def start_broker(self) -> None:
        """Start the broker's process."""
        self.broker_process = self._start("broker", "he_fsm.runtime.broker.main")

    def start_agent(self) -> None:
        """Start the agent's process."""
        self.agent_process = self._start("agent", "he_fsm.runtime.agent")

    def _start(self, name: str, module: str) -> subprocess.Popen[bytes]:
        code = f"from {module} import main; main()"
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own daemons
                [sys.executable, "-c", code, "--config", str(self.folder / "config.yaml")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # By it, whatever they start in turn is known as the lab's.
                cwd=self.folder,
                start_new_session=True,
            )

    def check_daemons(self) -> None:
        """
        Make sure that no daemon has ended by itself.

        Raises:
            HeFsmError: one has; the sentence is the last that it logged.
        """
        processes = {"broker": self.broker_process, "agent": self.agent_process}
        for name, process in processes.items():
            if process is not None and process.poll() is not None:
                lines = (self.folder / f"{name}.log").read_text(encoding="utf-8").splitlines()
                said = lines[-1] if lines else "nothing"
                msg = f"the {name} of host {self.name} ended with {process.returncode}: {said}"
                raise HeFsmError(msg)

    def vm(self) -> Optional[VmRecord]:
        """Give the VM's record, if a VM's process is here."""
        try:
            record = self.vm_file.read()
        except (OSError, ValueError):
            return None
        return record if record is not None and record.is_here else None

    def lease_is_taken(self) -> bool:
        """Say whether the last start that was ordered here got the lease."""
        try:
            report = json.loads((self.run_dir / REPORT).read_bytes())
        except (OSError, ValueError):
            return False
        return bool(report.get("lease") == "taken")

    def kill_vm(self) -> None:
        """Kill the VM's process, and wait for its end."""
        record = self.vm()
        if record is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pid, signal.SIGKILL)
            self._await_the_end_of(record)

    def _await_the_end_of(self, vm: VmRecord) -> None:
        """Wait for the end of one VM; its host may have begun the next one by then."""
        until = time.monotonic() + _ENDS_WITHIN_S
        while vm.is_here:
            if time.monotonic() > until:
                raise HeFsmError(self._does_not_end)
            time.sleep(_LOOK_S)

    @property
    def _does_not_end(self) -> str:
        return f"a process of host {self.name} does not end"

    def processes(self) -> Iterator[psutil.Process]:
        """Give every living process of this host, its VM's too; parents first."""
        for process in (self.agent_process, self.broker_process):
            if process is None or process.poll() is not None:
                continue
            try:
                parent = psutil.Process(process.pid)
                yield parent
                # What an agent starts and lets go is the VM, found below.
                if process is self.broker_process:
                    yield from parent.children(recursive=True)
            except psutil.NoSuchProcess:
                continue
        record = self.vm()
        if record is not None:
            try:
                yield psutil.Process(record.pid)
            except psutil.NoSuchProcess:
                return

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to every process of this host."""
        for process in list(self.processes()):
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue

    def power_off(self) -> None:
        """Kill everything of this host at once."""
        vm = self.vm()
        # Stopped first: nothing may act between the first and the last that is killed.
        self.signal_all(signal.SIGSTOP)
        self.signal_all(signal.SIGKILL)
        self.signal_all(signal.SIGCONT)
        self._reap()
        if vm is not None:
            self._await_the_end_of(vm)
        self.is_powered = self.is_frozen = False
        self.boot += 1

    def _reap(self) -> None:
        for process in (self.agent_process, self.broker_process):
            if process is not None:
                try:
                    process.wait(_ENDS_WITHIN_S)
                except subprocess.TimeoutExpired as error:
                    raise HeFsmError(self._does_not_end) from error
        self.agent_process = self.broker_process = None

    def stop_agent(self) -> None:
        """Ask the agent to end cleanly."""
        if self.agent_process is not None:
            self.agent_process.terminate()

    def kill_agent(self) -> None:
        """Kill the agent."""
        if self.agent_process is not None:
            self.agent_process.kill()
            self.agent_process.wait(_ENDS_WITHIN_S)
            self.agent_process = None

    def hypervisor(self, *, boot_s: float) -> EmbeddedHypervisor:
        """Give this host's hypervisor, for what happens before the scenario begins."""
        lab = self.lab
        policy, times = lab.policy, lab.scenario.world
        holder = EmbeddedHolder(
            folder=self.storage / "leases",
            host_id=self.config.id,
            io_timeout_s=policy.io_timeout_s,
            watchdog_s=policy.watchdog_s,
        )
        settings = EmbeddedSettings(
            host_id=self.config.id,
            run_dir=self.run_dir,
            hosts=str(lab.folder / "by-id" / "{id}"),
            leases=self.storage / "leases",
            witness=self.storage / WITNESS,
            port=lab.port,
            io_timeout_s=policy.io_timeout_s,
            watchdog_s=policy.watchdog_s,
            start_s=0.0,
            boot_s=boot_s,
            shutdown_s=times.vm_shutdown_s / lab.speed,
            migration_s=times.migration_s / lab.speed,
        )
        return EmbeddedHypervisor(settings, holder)


class Lab:
    """The whole cluster; `close` leaves no process behind."""

    def __init__(self, scenario: Scenario, speed: float, folder: Path) -> None:
        """Make storage and hosts; nothing runs yet."""
        self.scenario = scenario
        self.speed = speed
        self.folder = folder
        self.policy = scaled(scenario.policy, speed)
        self.port = free_port()
        self.shared = folder / "shared"
        self.shared.mkdir()
        (folder / "hosts").mkdir()
        (folder / "by-id").mkdir()
        highest = max(host.id for host in scenario.hosts)
        create(self.shared / "whiteboard", highest)
        create_lockspace(self.shared / "leases")
        self.whiteboard = WhiteboardFile(self.shared / "whiteboard")
        self._masks: dict[int, Mask] = {}
        # Whoever started a VM has to ask for its status when it has ended.
        self._starter: Optional[EmbeddedHypervisor] = None
        self.hosts = {host.name: LabHost(self, host) for host in scenario.hosts}

    def start(self) -> None:
        """Start all daemons of all hosts, as a cluster comes up."""
        self.write_global(maintenance=False)
        for host in self.hosts.values():
            host.write_config()
            host.write_monitors()
            host.is_powered = True
            host.start_broker()
            host.start_agent()

    def start_engine(self, host: LabHost) -> None:
        """Start the engine's VM on a host, as somebody did before the scenario begins."""
        self._starter = host.hypervisor(boot_s=0.0)
        self._starter.start()

    def write_global(self, *, maintenance: bool) -> None:
        """Write slot 0, as the maintenance command does."""
        self.whiteboard.write_global(maintenance)

    def mask(self, slot: int, block: bytes, for_s: float) -> None:
        """Show every reader a block in place of a slot for so many real seconds."""
        if slot in self._masks:
            self._masks[slot].close()
        path, until = self.shared / "whiteboard", time.monotonic() + for_s
        self._masks[slot] = Mask(path, slot, block, until)

    def read_whiteboard(self) -> bytes:
        """
        Read all slots as they were last written, whatever readers are shown.

        Raises:
            HeFsmError: they can't be read.
        """
        data = bytearray(self.whiteboard.read())
        for slot, mask in self._masks.items():
            if not mask.is_over:
                begin = slot * SLOT_BYTES
                data[begin : begin + SLOT_BYTES] = mask.written
        return bytes(data)

    def write_block(self, slot: int, block: bytes) -> None:
        """Overwrite a slot behind everybody's back: damage."""
        with (self.shared / "whiteboard").open("r+b") as file:
            file.seek(slot * SLOT_BYTES)
            file.write(block.ljust(SLOT_BYTES, b"\0"))
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        """End every process of every host, and what they had just begun to start."""
        for host in self.hosts.values():
            host.power_off()
        for mask in self._masks.values():
            mask.close()
        while left := self.left_over():
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=_ENDS_WITHIN_S)
        if self._starter is not None:
            self._starter.close()

    def left_over(self) -> list[psutil.Process]:
        """Give every living process that works in this lab's folder or was told of it."""
        return list(processes_about(self.folder))
