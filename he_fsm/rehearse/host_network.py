"""How one host of a lab is connected: by namespaces of its own, or by this machine's network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Final, Optional

from he_fsm.rehearse.guest.saved import on_tap
from he_fsm.rehearse.lab import free_port
from he_fsm.rehearse.lab_network import BRIDGE, ENGINE, GATEWAY, PREFIX_BITS, TAP, LabNetwork
from he_fsm.rehearse.played import READINGS, real_readings
from he_fsm.rehearse.vm_sight import PagesAt
from he_fsm.runtime.config import VmConfig
from he_fsm.runtime.config.settings import NetworkMonitorConfig
from he_fsm.scenario.model import Scenario

# An answer takes a millisecond, and some tenths of a second where the machine is busy.
_PING_MIN_S: Final = 0.4
_HTTP: Final = 80


class HostNetwork(ABC):
    """What a host and its VM are connected by."""

    # Where the VM's pages are for this host.
    pages: PagesAt
    # How long its monitor waits for the health page, in real seconds.
    page_timeout_s: float = 1.0

    @abstractmethod
    def within(self, words: list[str]) -> list[str]:
        """Give the command that runs *words* on the host."""

    @abstractmethod
    def monitors_config(self) -> dict[str, Any]:
        """Say what the monitors look at that is real."""

    @abstractmethod
    def show(self, readings: Mapping[str, float]) -> tuple[str, ...]:
        """Let link and bridge be as the scenario has them now; say what that changed."""

    @abstractmethod
    def vm(self, vm: VmConfig) -> VmConfig:
        """Give the guest, which has QEMU's own network, as it is here."""


class UserNetwork(HostNetwork):
    """A port of this machine; gateway and bridge are files."""

    def __init__(self) -> None:
        """Take a port."""
        self.pages = PagesAt(free_port())

    def within(self, words: list[str]) -> list[str]:
        """Give the command as it is."""
        return words

    def monitors_config(self) -> dict[str, Any]:
        """Say nothing."""
        return {}

    def show(self, readings: Mapping[str, float]) -> tuple[str, ...]:  # noqa: ARG002 - as all have it
        """Do nothing: the files say it."""
        return ()

    def vm(self, vm: VmConfig) -> VmConfig:
        """Give it as it is."""
        return vm


class NamespaceNetwork(HostNetwork):
    """A namespace of the lab's network; *real* are the readings that links and bridge show."""

    # A request that is lost while the VM moves is repeated after a second: sooner to ask anew.
    page_timeout_s = 0.5

    def __init__(self, network: LabNetwork, host: str, real: frozenset[str], speed: float) -> None:
        """Take the names; nothing is made yet."""
        self._network = network
        self._host = host
        self._real = real
        self._speed = speed
        self._parts: dict[str, tuple[str, Callable[..., None]]] = {
            "gateway": ("the link to the switch", network.set_link),
            "bridge": ("the bridge", network.set_bridge),
        }
        self._is_up = dict.fromkeys(self._parts, True)
        self.pages = PagesAt(_HTTP, ENGINE, network.namespace(host))

    def within(self, words: list[str]) -> list[str]:
        """Give the command inside the namespace."""
        return self._network.within(self._host, words)

    def monitors_config(self) -> dict[str, Any]:
        """Ping the gateway, and read the bridge's own state."""
        usual = NetworkMonitorConfig()
        ping = {
            "test": "ping",
            "address": GATEWAY,
            "timeout": max(usual.timeout_s / self._speed, _PING_MIN_S),
            "delay": usual.delay_s / self._speed,
        }
        config = {"gateway": ("network", ping), "bridge": ("bridge", {"name": BRIDGE})}
        return dict(config[reading] for reading in READINGS if reading in self._real)

    def show(self, readings: Mapping[str, float]) -> tuple[str, ...]:
        """Pull the link's plug, or let the bridge be lost, or put it right again."""
        said = []
        for reading, (what, put) in self._parts.items():
            is_up = bool(readings[reading])
            if reading in self._real and self._is_up[reading] != is_up:
                put(self._host, is_up=is_up)
                self._is_up[reading] = is_up
                said.append(f"{what} is {'up' if is_up else 'down'}")
        return tuple(said)

    def vm(self, vm: VmConfig) -> VmConfig:
        """Give the guest the tap, and its own address."""
        return on_tap(vm, TAP, f"{ENGINE}/{PREFIX_BITS}", GATEWAY)


def made(network: Optional[LabNetwork], scenario: Scenario, host: str, speed: float) -> HostNetwork:
    """Make a host's network; *network* None: this machine can't have namespaces."""
    if network is None:
        return UserNetwork()
    return NamespaceNetwork(network, host, real_readings(scenario, host), speed)
