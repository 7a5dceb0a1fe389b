"""A host of a scratch cluster: its folder, its configuration, and the processes that play it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Final, Optional

import psutil

from he_fsm.errors import HeFsmError
from he_fsm.lab import host_files
from he_fsm.lab.logind.host_bus import HostBus
from he_fsm.lab.processes import start_in
from he_fsm.lab.site import Site
from he_fsm.lab.spec import HostSpec
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.hypervisors.vm_file import STATE, VmFile, VmRecord
from he_fsm.runtime.hypervisors.vm_process import read_report

# Share of a (scaled) loop within which storage has to answer.
_DEADLINE_SHARE: Final = 0.4
# A process that was killed has ended by then (seconds).
ENDS_WITHIN_S: Final = 10.0
_LOOK_S: Final = 0.002
# Where a process finds the system's D-Bus.
_BUS: Final = "DBUS_SYSTEM_BUS_ADDRESS"


class LabHost(ABC):
    """One host of the lab: its folder, and the processes that play it, whatever the back end."""

    def __init__(self, site: Site, spec: HostSpec) -> None:
        """Make the folder; nothing runs yet."""
        self.site = site
        self.spec = spec
        self.folder = site.folder / "hosts" / spec.name
        self.run_dir = self.folder / "run"
        self.state_dir = self.folder / "state"
        self.monitors_dir = self.folder / "monitors"
        for folder in (self.run_dir, self.state_dir, self.monitors_dir):
            folder.mkdir(parents=True)
        self.storage = self.folder / "storage"
        by_id = site.by_id / str(spec.host_id)
        if not by_id.is_symlink():
            by_id.symlink_to(self.run_dir)
        self.vm_file = VmFile(self.run_dir / STATE)
        self.broker_process: Optional[subprocess.Popen[bytes]] = None
        self.agent_process: Optional[subprocess.Popen[bytes]] = None
        self.is_powered = False
        self.is_frozen = False
        # Which of `agent`, `broker` and `sanlock` stand still, each by itself.
        self.frozen: set[str] = set()
        # When `agent` or `broker`, which have died, are to be started again, by somebody's clock.
        self.restarts_at: dict[str, float] = {}
        # Counts how often one of them was told to go on.
        self.thaws = 0
        # Counts power cycles: a boot under way belongs to one.
        self.boot = 0
        self.version = 1
        # Within it the storage has to answer (real seconds).
        self.deadline_s = site.policy.loop_s * _DEADLINE_SHARE
        self.readings = dict(spec.readings)
        delay_s = site.shutdown_delay_s
        # The host's own D-Bus with its logind; None: nobody shuts it down in order.
        self.bus = None if delay_s is None else HostBus(self.run_dir, delay_s)

    @property
    def name(self) -> str:
        """What the lab calls the host."""
        return self.spec.name

    @property
    def host_id(self) -> int:
        """sanlock's number for this host."""
        return self.spec.host_id

    @property
    def hostname(self) -> str:
        """The host's name in its record."""
        return self.spec.hostname

    @property
    def client(self) -> BrokerClient:
        """A client of this host's broker."""
        return BrokerClient(str(self.run_dir / "broker.sock"), 1.0)

    def write_monitors(self, **values: float) -> tuple[str, ...]:
        """Set what the monitors read from now on; return what was changed for that."""
        self.readings.update(values)
        host_files.write_readings(self.monitors_dir, self.readings)
        return ()

    def write_config(self) -> None:
        """Write the daemons' configuration file."""
        plain = {
            "host": host_files.host_section(self.spec),
            "run_dir": str(self.run_dir),
            "state_dir": str(self.state_dir),
            "group": None,
            "ovirt": None,
            "storage": {"path": self.storage_place, "deadline": self.deadline_s},
            "engine": {"memory": self.site.memory_mib, "health": {"timeout": 2.0}},
            "monitors": {
                # Health and gateway are looked at a little more often than the loop.
                "interval": self.site.policy.loop_s / 2,
                **self.monitors_config(),
            },
            "policy": host_files.policy_section(self.site.policy),
            "parse_version": self.version,
            **self.own_config(),
        }
        host_files.write_yaml(self.folder / "config.yaml", plain)

    def remember_failed_starts(self, count: int, last_at: float) -> None:
        """Leave on the host's disk what its agent would remember (monotonic clock, seconds)."""
        host_files.remember_failed_starts(self.state_dir, count, last_at)

    def set_local_flag(self, *, is_set: bool, until: Optional[int] = None) -> None:
        """Set the local flag while no broker runs."""
        host_files.set_local_flag(self.state_dir, is_set=is_set, until=until)

    # Given by the back end.

    @property
    def storage_place(self) -> str:
        """Where the host's own processes find the storage."""
        return str(self.storage)

    def monitors_config(self) -> dict[str, Any]:
        """Return the monitors' section: files, where the back end has nothing else."""
        return {
            "network": {"test": "file", "path": str(self.monitors_dir / "network")},
            "bridge": {"path": str(self.monitors_dir / "bridge")},
            "memory": {"path": str(self.monitors_dir / "memory")},
            "cpu": {"path": str(self.monitors_dir / "cpu")},
        }

    def within(self, words: list[str]) -> list[str]:
        """Return the command that runs *words* on this host."""
        return words

    @property
    def has_watchdog(self) -> bool:
        """Whether a watchdog of the back end's stands behind this host."""
        return False

    @property
    def was_reset(self) -> bool:
        """Whether that watchdog has killed all that ran here."""
        return False

    @abstractmethod
    def own_config(self) -> Mapping[str, Any]:
        """Return the sections of the configuration that say which leases and which VM."""

    @abstractmethod
    def is_paused(self, record: VmRecord) -> bool:
        """Whether the VM here was stopped, and will not go on by itself."""

    @abstractmethod
    def executes(self, record: VmRecord) -> bool:
        """Whether the VM here does anything now."""

    @abstractmethod
    def page_is_good(self, record: VmRecord) -> bool:
        """Whether the VM's health page is good; it executes."""

    @abstractmethod
    def order_engine(self, word: str) -> None:
        """Make the VM here `shutdown`, `panic`, `hang`, `heal`, `pause` or `resume`."""

    @abstractmethod
    def migrate_engine(self, target: int) -> None:
        """Migrate the VM to the host *target*, as somebody does who is no agent."""

    @abstractmethod
    def lead_storage(self, word: str) -> None:
        """Set this host's path to the storage to `cut` or `hang`; any other word restores it."""

    @abstractmethod
    def set_faults(self, **words: str) -> None:
        """Make starts, boots, migrations or the hypervisor fail."""

    @abstractmethod
    def start_sanlock(self) -> None:
        """Start the host's sanlock, as an init system does with one that has ended."""

    @abstractmethod
    def kill_sanlock(self) -> None:
        """Kill the host's sanlock alone."""

    def start_services(self) -> None:  # noqa: B027 - a back end may need nothing
        """Start what runs on this host before its broker; return when that can be used."""

    def services(self) -> Iterator[subprocess.Popen[bytes]]:
        """Return the processes of `start_services`."""
        return iter(())

    def end_services(self) -> None:  # noqa: B027 - a back end may need nothing
        """Clean up after the services were killed."""

    # Processes.

    def start_broker(self) -> None:
        """Start the broker's process."""
        self.frozen.discard("broker")
        self.broker_process = self._start("broker")

    def start_agent(self) -> None:
        """Start the agent's process."""
        self.frozen.discard("agent")
        if self.bus is not None:
            self.bus.start(self.folder)
        self.agent_process = self._start("agent")

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        code = f"from he_fsm.cli.daemons import {name}; {name}()"
        words = [sys.executable, "-c", code, "--config", str(self.folder / "config.yaml")]
        # Where the host has no D-Bus, its daemons do not take that of this machine.
        bus = f"unix:path={self.run_dir / 'no-bus'}" if self.bus is None else self.bus.address
        # By the folder, whatever they start in turn is known as the lab's.
        return start_in(self.folder, self.within(words), f"{name}.log", {_BUS: bus})

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
        """Return the VM's record, if a VM's process is here."""
        record = self.last_record()
        return record if record is not None and record.is_here else None

    def last_record(self) -> Optional[VmRecord]:
        """Return the record of the last VM here, whether its process lives or not."""
        try:
            return self.vm_file.read()
        except (OSError, ValueError):
            return None

    def lease_is_taken(self) -> bool:
        """Return whether the last start that was ordered here got the lease."""
        return bool(read_report(self.run_dir).get("lease") == "taken")

    def kill_vm(self) -> None:
        """Kill the VM's process, and wait for its end."""
        record = self.vm()
        if record is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pid, signal.SIGKILL)
            self._await_the_end_of(record)

    def _await_the_end_of(self, vm: VmRecord) -> None:
        """Wait for the end of one VM; its host may have begun the next one by then."""
        until = time.monotonic() + ENDS_WITHIN_S
        while vm.is_here:
            if time.monotonic() > until:
                raise HeFsmError(self._does_not_end)
            time.sleep(_LOOK_S)

    @property
    def _does_not_end(self) -> str:
        return f"a process of host {self.name} does not end"

    def processes(self) -> Iterator[psutil.Process]:
        """Return every living process of this host, its VM's too; parents first."""
        for process in (self.agent_process, self.broker_process):
            if process is None or process.poll() is not None:
                continue
            try:
                parent = psutil.Process(process.pid)
                yield parent
                # The process that an agent starts and leaves running is the VM, found below.
                if process is self.broker_process:
                    yield from parent.children(recursive=True)
            except psutil.NoSuchProcess:
                continue
        pids = [service.pid for service in self.services() if service.poll() is None]
        record = self.last_record()
        # A VM that has just moved away may still be ending.
        if record is not None and record.process_state is not None:
            pids.insert(0, record.pid)
        for pid in pids:
            with contextlib.suppress(psutil.NoSuchProcess):
                yield psutil.Process(pid)

    def daemon_process(self, name: str) -> Optional[subprocess.Popen[bytes]]:
        """Return the process of `agent`, `broker` or `sanlock`; None: it does not run."""
        return {"agent": self.agent_process, "broker": self.broker_process}.get(name)

    def freeze(self, name: str) -> None:
        """Freeze one daemon."""
        process = self.daemon_process(name)
        if process is not None:
            process.send_signal(signal.SIGSTOP)
            self.frozen.add(name)

    def thaw(self, name: str) -> None:
        """Thaw one daemon that was frozen by itself."""
        process = self.daemon_process(name)
        if process is not None and name in self.frozen:
            process.send_signal(signal.SIGCONT)
            self.frozen.discard(name)
            self.thaws += 1

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to every process of this host."""
        for process in list(self.processes()):
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue

    def stop_all(self) -> None:
        """Stop every process of this host."""
        self.signal_all(signal.SIGSTOP)

    def go_on(self) -> None:
        """Thaw every process of this host, except those that were frozen by themselves."""
        still = self.frozen_pids()
        for process in list(self.processes()):
            if process.pid not in still:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)

    def frozen_pids(self) -> set[int]:
        """Return the daemons that were frozen by themselves."""
        frozen = [self.daemon_process(name) for name in self.frozen]
        return {process.pid for process in frozen if process is not None}

    def power_on(self) -> None:
        """Start all that runs on this host, as its boot does."""
        self.is_powered = True
        self.start_services()
        self.start_broker()
        self.start_agent()

    def power_off(self) -> None:
        """Kill everything of this host at once."""
        vm = self.vm()
        # Stopped first: nothing may act between the first and the last that is killed.
        self.stop_all()
        self.signal_all(signal.SIGKILL)
        self.go_on()
        self._reap()
        if self.bus is not None:
            self.bus.end()
        if vm is not None:
            self._await_the_end_of(vm)
        self.is_powered = self.is_frozen = False
        self.frozen.clear()
        self.restarts_at.clear()
        self.boot += 1

    def _reap(self) -> None:
        for process in (self.agent_process, self.broker_process, *self.services()):
            if process is not None:
                try:
                    process.wait(ENDS_WITHIN_S)
                except subprocess.TimeoutExpired as error:
                    raise HeFsmError(self._does_not_end) from error
        self.end_services()
        self.agent_process = self.broker_process = None

    def kill_broker(self) -> None:
        """Kill the broker; what it has started ends by itself."""
        if self.broker_process is not None:
            self.broker_process.kill()
            self.broker_process.wait(ENDS_WITHIN_S)
            self.broker_process = None
            self.frozen.discard("broker")

    def stop_agent(self) -> None:
        """Ask the agent to end cleanly."""
        if self.agent_process is not None:
            self.agent_process.terminate()

    def kill_agent(self) -> None:
        """Kill the agent."""
        if self.agent_process is not None:
            self.agent_process.kill()
            self.agent_process.wait(ENDS_WITHIN_S)
            self.agent_process = None
