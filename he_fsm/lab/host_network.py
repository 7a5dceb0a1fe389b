"""How one host of a lab is connected: by namespaces of its own, or by this machine's network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Final, Optional

from he_fsm.errors import HeFsmError
from he_fsm.lab.guest.saved import on_tap
from he_fsm.lab.network import BRIDGE, ENGINE, GATEWAY, PREFIX_BITS, TAP, LabNetwork
from he_fsm.lab.site import free_port
from he_fsm.lab.spec import LINK_READINGS, HostSpec
from he_fsm.lab.vm_sight import PagesAt
from he_fsm.runtime.hypervisors.qemu.section import VmConfig
from he_fsm.runtime.monitors.section import NetworkMonitorConfig

# An answer takes a millisecond, and some tenths of a second where the machine is busy.
_PING_MIN_S: Final = 0.4
_HTTP: Final = 80
_NO_NETWORK: Final = "this host has no network of its own"


class HostNetwork(ABC):
    """What a host and its VM are connected by."""

    # Where the VM's pages are for this host.
    pages: PagesAt
    # How long its monitor waits for the health page, in real seconds.
    page_timeout_s: float = 1.0

    @abstractmethod
    def within(self, words: list[str]) -> list[str]:
        """Return the command that runs *words* on the host."""

    @abstractmethod
    def monitors_config(self) -> dict[str, Any]:
        """Return the part of the monitors' section that is real."""

    @abstractmethod
    def show(self, readings: Mapping[str, float]) -> tuple[str, ...]:
        """Set link and bridge to the readings; return what that changed."""

    def reach_by(self, address: str) -> None:
        """Make this host reachable for other hosts at *address*."""
        msg = f"{address}: {_NO_NETWORK}"
        raise HeFsmError(msg)

    def fall_silent(self) -> None:
        """Drop all that this host sends from now on."""
        raise HeFsmError(_NO_NETWORK)

    def speak_again(self) -> None:
        """Undo `fall_silent`."""
        raise HeFsmError(_NO_NETWORK)

    @abstractmethod
    def vm(self, vm: VmConfig) -> VmConfig:
        """Return the guest, which has QEMU's own network, as it is here."""


class UserNetwork(HostNetwork):
    """A port of this machine; gateway and bridge are files."""

    def __init__(self) -> None:
        """Take a port."""
        self.pages = PagesAt(free_port())

    def within(self, words: list[str]) -> list[str]:
        """Return the command as it is."""
        return words

    def monitors_config(self) -> dict[str, Any]:
        """Say nothing."""
        return {}

    def show(self, readings: Mapping[str, float]) -> tuple[str, ...]:  # noqa: ARG002 - as all have it
        """Do nothing: the files say it."""
        return ()

    def vm(self, vm: VmConfig) -> VmConfig:
        """Return it as it is."""
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
        """Return the command inside the namespace."""
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
        return dict(config[reading] for reading in LINK_READINGS if reading in self._real)

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

    def reach_by(self, address: str) -> None:
        """Add it to the bridge."""
        self._network.add_address(self._host, address)

    def fall_silent(self) -> None:
        """Pull the plug at the switch: what the kernel sends for killed processes is dropped."""
        self._network.set_link(self._host, is_up=False)

    def speak_again(self) -> None:
        """Plug in again, unless the link is to be down."""
        self._network.set_link(self._host, is_up=self._is_up["gateway"])

    def vm(self, vm: VmConfig) -> VmConfig:
        """Return the guest with the tap, and with its own address."""
        return on_tap(vm, TAP, f"{ENGINE}/{PREFIX_BITS}", GATEWAY)


def made(network: Optional[LabNetwork], host: HostSpec, speed: float) -> HostNetwork:
    """Make a host's network; *network* None: this machine can't have namespaces."""
    if network is None:
        return UserNetwork()
    return NamespaceNetwork(network, host.name, host.real_readings, speed)
