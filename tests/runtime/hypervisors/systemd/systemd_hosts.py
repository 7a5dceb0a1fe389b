"""Hosts whose engine is a unit, each with a bus of its own and a double of systemd on it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.service.hypervisor import ServiceHypervisor, ServiceSettings
from he_fsm.runtime.hypervisors.service.keeper import KeeperSettings
from he_fsm.runtime.hypervisors.systemd.bus import Bus
from he_fsm.runtime.hypervisors.systemd.unit import UnitOptions, UnitStrays
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.command.command_hosts import CommandHosts

UNIT = "engine.service"
_DOUBLE = Path(__file__).with_name("systemd_double.py")
_CONFIG = """<busconfig>
<type>session</type><listen>{address}</listen><auth>EXTERNAL</auth>
<policy context="default">
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
</policy></busconfig>
"""


class Systemd:
    """A bus, and the double on it."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("dbus-daemon") is None:
            pytest.skip("there is no dbus-daemon: package dbus-daemon")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._socket = folder / "bus"
        self.address = f"unix:path={self._socket}"
        self.units = folder / "units.json"
        self.write({})
        self._processes: list[subprocess.Popen[bytes]] = []
        config = folder / "bus.conf"
        config.write_text(_CONFIG.format(address=self.address))
        self._begin("dbus-daemon", "--nofork", "--nopidfile", f"--config-file={config}")
        until(self._socket.exists)
        self._begin(sys.executable, str(_DOUBLE), self.address, str(self.units))
        until(self.answers)

    def write(self, units: dict[str, Any]) -> None:
        """Set what units there are."""
        fresh = self.units.with_suffix(".new")
        fresh.write_text(json.dumps(units))
        fresh.replace(self.units)

    def answers(self) -> bool:
        bus = Bus(self.address)
        try:
            bus.load("any.service")
        except HypervisorError:
            return False
        finally:
            bus.close()
        return True

    def is_active(self, unit: str = UNIT) -> bool:
        """Whether the unit runs, as the double says."""
        bus = Bus(self.address)
        try:
            return bool(bus.properties(bus.load(unit), "Unit")["ActiveState"] == "active")
        finally:
            bus.close()

    def kill(self) -> None:
        """Kill the double and the bus; units run on."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes.clear()

    def _begin(self, *command: str) -> None:
        self._processes.append(subprocess.Popen(command))


class SystemdHosts(CommandHosts):
    """Some hosts; each one's unit runs the same program."""

    def __init__(self, folder: Path, io_timeout_s: float = 30.0) -> None:
        super().__init__(folder, io_timeout_s)
        self.systemds = {host_id: Systemd(folder / f"systemd{host_id}") for host_id in self.ids}
        for host_id in self.ids:
            self.says(host_id)

    def says(self, host_id: int, *words: str, **changes: Any) -> None:
        """Have the unit run another program from its next start on."""
        self.systemds[host_id].write({UNIT: {"run": self.command(words), **changes}})
        self.restart_agent(host_id)

    def make(self, host_id: int) -> ServiceHypervisor:
        run_dir, address = self.run_dir(host_id), self.systemds[host_id].address
        keeper = KeeperSettings(
            state=run_dir / "vm.json",
            lock=run_dir / "vm.inside",
            body="he_fsm.runtime.hypervisors.systemd.unit:make",
            options={"unit": UNIT, "bus": address},
            stop_limit_s=self.stop_limit_s,
        )
        strays = UnitStrays(UnitOptions(unit=UNIT, bus=address))
        settings = ServiceSettings(
            run_dir=run_dir, python=sys.executable, keeper=keeper, strays=strays
        )
        return ServiceHypervisor(settings, self.lease(host_id))

    def inner(self, host_id: int) -> int:
        """Return the main process of the unit, which is known soon after its start."""
        until(lambda: self.record(host_id).inner_pid is not None)
        return super().inner(host_id)

    def tear_down(self) -> None:
        for systemd in self.systemds.values():
            systemd.kill()
        super().tear_down()


def warden_of(hosts: SystemdHosts, host_id: int) -> int:
    """Return the process that stands between the keeper and the unit."""
    [warden] = psutil.Process(hosts.pid(host_id)).children()
    return warden.pid
