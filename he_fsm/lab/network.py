"""
The network of a lab: a switch, a gateway, and hosts with a bridge each, in network namespaces.

Nothing of it is in the machine's own network, and its namespaces have names of their own, so that
several labs may be there at once, all with the same addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from he_fsm.lab import netns

GATEWAY: Final = "10.99.0.1"
# The engine's VM has one address, wherever it runs.
ENGINE: Final = "10.99.0.100"
PREFIX_BITS: Final = 16
BRIDGE: Final = "ovirtmgmt"
TAP: Final = "tap0"
_UPLINK: Final = "eth0"
# Hosts in each of the networks 10.99.1.x, 10.99.2.x, ...
_HOSTS_EACH: Final = 250


class LabNetwork:
    """
    The namespaces of one lab; `set_up` makes them, `remove` leaves nothing.

    Each host's bridge has an uplink to the switch, and a tap for the VM.
    """

    def __init__(self, hosts: Sequence[str]) -> None:
        """Take the hosts' names; nothing is made yet."""
        self._prefix = netns.new_prefix()
        self._numbers = {name: number for number, name in enumerate(hosts)}
        self._switch = f"{self._prefix}-switch"
        self._gateway = f"{self._prefix}-gateway"
        self._made: list[str] = []

    def namespace(self, host: str) -> str:
        """Return the name of a host's namespace."""
        return f"{self._prefix}-{self._numbers[host]}"

    def within(self, host: str, words: Sequence[str]) -> list[str]:
        """Return the command that runs *words* on a host; its /sys is the host's too."""
        return [str(netns.program()), "netns", "exec", self.namespace(host), *words]

    def set_up(self) -> None:
        """Make it all; raises `HeFsmError` where that fails."""
        self._add(self._switch)
        netns.ip_batch(
            self._switch, ("link add br0 type bridge forward_delay 0", "link set br0 up")
        )
        self._add(self._gateway)
        self._plug_in(self._gateway, "gateway")
        netns.ip_batch(
            self._gateway,
            (
                "link set lo up",
                f"addr add {GATEWAY}/{PREFIX_BITS} dev {_UPLINK}",
                f"link set {_UPLINK} up",
            ),
        )
        for name, number in self._numbers.items():
            namespace = self.namespace(name)
            self._add(namespace)
            self._plug_in(namespace, _port(number))
            netns.ip_batch(namespace, _host(number))

    def _add(self, namespace: str) -> None:
        # Written down first: whatever interrupts it, it is removed.
        self._made.append(namespace)
        netns.ip("netns", "add", namespace)

    def _plug_in(self, namespace: str, port: str) -> None:
        ends = f"{port} netns {self._switch} type veth peer name {_UPLINK} netns {namespace}"
        netns.ip("link", "add", *ends.split())
        netns.ip("-n", self._switch, "link", "set", port, "master", "br0", "up")

    def add_address(self, host: str, address: str) -> None:
        """Make a host reachable at one more address."""
        namespace = self.namespace(host)
        netns.ip("-n", namespace, "addr", "replace", f"{address}/{PREFIX_BITS}", "dev", BRIDGE)

    def set_link(self, host: str, *, is_up: bool) -> None:
        """Set a host's link to the switch up or down."""
        port, word = _port(self._numbers[host]), "up" if is_up else "down"
        netns.ip("-n", self._switch, "link", "set", port, word)

    def set_bridge(self, host: str, *, is_up: bool) -> None:
        """
        Set a host's bridge up, or remove it.

        A lost one is dormant: the monitor of the bridge takes it for lost, and what crosses it
        still does: the fault is the bridge's alone.
        """
        mode, state = ("default", "up") if is_up else ("dormant", "dormant")
        # The mode first: by it the kernel keeps the state when something is plugged in.
        netns.ip_batch(
            self.namespace(host),
            (f"link set {BRIDGE} mode {mode}", f"link set {BRIDGE} state {state}"),
        )

    def left(self) -> list[str]:
        """Return the namespaces that are there."""
        return netns.beginning_with(self._prefix)

    def remove(self) -> None:
        """Remove the namespaces, and all that is in them; no process may be there any more."""
        with ExitStack() as ends:
            # Each of them even where another fails.
            for name in self._made:
                if netns.exists(name):
                    ends.callback(netns.ip, "netns", "del", name)
        self._made.clear()


def _port(number: int) -> str:
    return f"host{number}"


def _host(number: int) -> tuple[str, ...]:
    """Return what makes a host's network: the bridge with the uplink, the tap and the address."""
    third, fourth = 1 + number // _HOSTS_EACH, 1 + number % _HOSTS_EACH
    # The same in every lab: a guest that runs on from a saved state knows who asked it before.
    mac = f"52:54:00:99:{third:02x}:{fourth:02x}"
    return (
        "link set lo up",
        f"link add {BRIDGE} address {mac} type bridge forward_delay 0",
        # Something that is always plugged in: a bridge without is down, and the link that fails
        # is to be the gateway's matter alone.
        "link add always type veth peer name plugged",
        "link set plugged up",
        f"link set always master {BRIDGE} up",
        f"link set {_UPLINK} master {BRIDGE} up",
        f"tuntap add {TAP} mode tap",
        f"link set {TAP} master {BRIDGE} up",
        f"link set {BRIDGE} up",
        f"addr add 10.99.{third}.{fourth}/{PREFIX_BITS} dev {BRIDGE}",
        f"route add default via {GATEWAY}",
    )
