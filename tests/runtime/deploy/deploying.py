"""Hosts of this machine that are deployed by the command, as a user runs it, for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Optional

import psutil
import yaml

from he_fsm.errors import HeFsmError
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.hypervisors.process.vm.witness import DOUBLE, read_log
from he_fsm.testing.vm_hosts import free_port
from he_fsm.testing.waiting import until
from tests.cli.conftest import command_line, environment
from tests.runtime.cluster import SPEED, merged, policy_at

DAEMONS = ("broker", "agent")
GATEWAY = "127.0.0.1"
# From the first stage to the last one, on a busy machine (seconds).
ENDS_S = 90.0


class DeployedHost:
    """One host of the machine: its own folders, and the daemons that somebody starts there."""

    def __init__(self, site: DeploySite, number: int, **settings: Any) -> None:
        self.folder = site.folder / f"host{number}"
        self.name = f"host{number}.example.com"
        self.site = site
        self.config = self.folder / "etc" / "he-fsm.yaml"
        self.run_dir = self.folder / "run"
        self.state_dir = self.folder / "state"
        self.settings = site.folder / f"settings{number}.yaml"
        plain = merged(site.settings(self.folder), settings)
        self.settings.write_text(yaml.safe_dump(plain), encoding="utf-8")
        self.processes: list[subprocess.Popen[bytes]] = []

    def words(self, *more: object) -> list[str]:
        """Return the command's words, without the answers."""
        return ["--config", str(self.config), "--settings", str(self.settings), *map(str, more)]

    def deploy_words(self, *more: object) -> list[str]:
        """Return the words of an unattended deployment."""
        answers = ["--hypervisor", "embedded", "--storage", str(self.site.shared)]
        return ["deploy", *self.words(*answers, "--hostname", self.name, "--yes", *more)]

    def first_words(self, *more: object) -> list[str]:
        """Return the words of the first host's unattended deployment."""
        return self.deploy_words("--gateway", GATEWAY, "--fqdn", "engine.example.com", *more)

    def start(self) -> None:
        """Start the daemons, as the deployment says."""
        (self.site.folder / "hosts" / self.number).symlink_to(self.run_dir)
        for name in DAEMONS:
            code = f"from he_fsm.cli.daemons import {name}; {name}()"
            with (self.folder / f"{name}.log").open("ab") as log:
                self.processes.append(
                    subprocess.Popen(
                        [sys.executable, "-c", code, "--config", str(self.config)],
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )

    def stop(self) -> None:
        """Stop the daemons in order, the agent first."""
        while self.processes:
            process = self.processes.pop()
            process.terminate()
            process.wait(ENDS_S)

    def lose_power(self) -> None:
        """Kill all that runs on this host."""
        for process in self.site.left_over(str(self.folder)):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for own in self.processes:
            own.wait(ENDS_S)
        self.processes.clear()

    @property
    def number(self) -> str:
        """The host id, as the configuration has it."""
        return str(yaml.safe_load(self.config.read_text(encoding="utf-8"))["host"]["id"])

    def report(self) -> dict[str, Any]:
        """Return what the agent has said last; empty: nothing."""
        with suppress(HeFsmError):
            found: dict[str, Any] = BrokerClient(
                str(self.run_dir / "broker.sock"), 5.0
            ).last_report()
            return found
        return {}


class DeploySite:
    """A machine with an empty directory that all hosts share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shared = folder / "shared"
        self.port = free_port()
        (folder / "hosts").mkdir()
        self.hosts: list[DeployedHost] = []

    def host(self, number: int, **settings: Any) -> DeployedHost:
        """Make a host; *settings* go over its own."""
        host = DeployedHost(self, number, **settings)
        self.hosts.append(host)
        return host

    def settings(self, folder: Path) -> dict[str, Any]:
        """Return what no question asks about: the folders, and times that are 20 times shorter."""
        return {
            "run_dir": str(folder / "run"),
            "state_dir": str(folder / "state"),
            "group": None,
            "ovirt": {"dir": str(folder / "ovirt")},
            "storage": {"deadline": 4.0 / SPEED},
            "hypervisor": {
                "port": self.port,
                "boot": 20.0 / SPEED,
                "start": 5.0 / SPEED,
                "shutdown": 20.0 / SPEED,
                "migration": 15.0 / SPEED,
                "hosts_dir": str(self.folder / "hosts"),
            },
            "engine": {"health": {"timeout": 1.0}},
            "monitors": {
                "interval": 5.0 / SPEED,
                "network": {"test": "none"},
                "bridge": {"path": str(self._always("1"))},
                "cpu": {"path": str(self._always("0.05"))},
                "memory": {"path": str(self._always("12367 0.1"))},
            },
            "policy": policy_at(SPEED),
        }

    def _always(self, text: str) -> Path:
        path = self.folder / f"reads-{text[:4].strip()}"
        path.write_text(f"{text}\n", encoding="ascii")
        return path

    def run(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            command_line(*words),
            env=environment({}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=ENDS_S,
        )

    def run_until(
        self, words: Sequence[str], line: str, deed: Callable[[subprocess.Popen[str]], None]
    ) -> tuple[int, str]:
        """Run a command; do something when it prints a line; return its status and output."""
        with subprocess.Popen(
            command_line(*words),
            env=environment({"PYTHONUNBUFFERED": "1"}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            said = []
            for text in process.stdout:
                said.append(text)
                if line in text and deed is not None:
                    deed(process)
                    break
            said += process.stdout.readlines()
        return process.returncode, "".join(said)

    def engine_on(self) -> Optional[DeployedHost]:
        """Return the host whose agent says that the engine is up and well there."""
        states = {host: host.report().get("state") for host in self.hosts if host.processes}
        up = [host for host, state in states.items() if state == "EngineUp"]
        return up[0] if len(up) == 1 else None

    def engine_is_up(self) -> DeployedHost:
        """Wait until the engine is up on one host, and return it."""
        found: list[DeployedHost] = []

        def is_up() -> bool:
            host = self.engine_on()
            if host is not None:
                found.append(host)
            return host is not None

        until(is_up, within_s=60.0)
        return found[-1]

    def left_over(self, about: str = "") -> list[psutil.Process]:
        """Return the living processes that have to do with this site, or with a part of it."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess):
                is_about = any((about or str(self.folder)) in word for word in process.cmdline())
                if (
                    is_about
                    and process.pid != os.getpid()
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(process)
        return found

    def tree(self) -> dict[str, tuple[int, int]]:
        """Return every path with its mode and size; what somebody has made or lost shows there."""
        return {
            str(path): (path.lstat().st_mode, path.lstat().st_size if path.is_file() else 0)
            for path in sorted(self.folder.rglob("*"))
        }

    def tear_down(self) -> None:
        """End everything; fails where two VMs have executed, or something does not end."""
        for host in self.hosts:
            for process in host.processes:
                process.kill()
                process.wait()
        for left in self.left_over():
            with suppress(psutil.NoSuchProcess):
                left.send_signal(signal.SIGKILL)
        until(lambda: not self.left_over())
        if (self.shared / "witness.log").exists():
            assert DOUBLE not in [line.word for line in read_log(self.shared / "witness")]
