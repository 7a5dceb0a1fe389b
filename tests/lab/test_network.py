"""The network of a lab is real: what fails in it fails for the monitors of the product."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.errors import HeFsmError
from he_fsm.lab import netns
from he_fsm.lab.network import BRIDGE, ENGINE, GATEWAY, LabNetwork
from he_fsm.runtime.monitors.network import Network
from he_fsm.runtime.monitors.probes.ping import Ping
from he_fsm.testing.waiting import until

WHY_NOT = netns.why_not()
needs_namespaces = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here")
# Of what `ip` names; this process's alone, for other tests run beside it.
MINE = netns.new_prefix().rpartition("-")[0]
READ_BRIDGE = """
from he_fsm.runtime.monitors.mgmt_bridge import MgmtBridge
print(MgmtBridge("ovirtmgmt").measure())
"""


@pytest.fixture
def network() -> Iterator[LabNetwork]:
    links = own_links()
    network = LabNetwork(["1", "2"])
    try:
        network.set_up()
        yield network
    finally:
        network.remove()
    assert namespaces() == []
    assert own_links() == links


def namespaces() -> list[str]:
    folder = Path("/run/netns")
    return [path.name for path in folder.glob(f"{MINE}-*")] if folder.exists() else []


def own_links() -> list[str]:
    return sorted(path.name for path in Path("/sys/class/net").iterdir())


def answered(network: LabNetwork, host: str, address: str = GATEWAY) -> float:
    with netns.inside(network.namespace(host)):
        return Network(Ping(address, timeout_s=0.5), count=2, spread_s=0.01).measure()


def bridge(network: LabNetwork, host: str) -> float:
    words = network.within(host, [sys.executable, "-c", READ_BRIDGE])
    return float(subprocess.run(words, capture_output=True, check=True).stdout)


@needs_namespaces
def test_a_host_whose_link_is_down_has_no_gateway_until_it_is_up_again(network: LabNetwork) -> None:
    until(lambda: answered(network, "1") == answered(network, "2") == 1.0)
    network.set_link("1", is_up=False)
    until(lambda: answered(network, "1") == 0.0)
    assert answered(network, "2") == 1.0
    # The bridge is a matter of its own.
    assert bridge(network, "1") == 1.0
    network.set_link("1", is_up=True)
    until(lambda: answered(network, "1") == 1.0)


@needs_namespaces
def test_a_lost_bridge_is_the_bridge_alone(network: LabNetwork) -> None:
    until(lambda: answered(network, "1") == bridge(network, "1") == 1.0)
    network.set_bridge("1", is_up=False)
    assert bridge(network, "1") == 0.0
    assert bridge(network, "2") == 1.0
    assert answered(network, "1") == 1.0
    network.set_bridge("1", is_up=True)
    assert bridge(network, "1") == 1.0


@needs_namespaces
def test_a_bridge_that_is_lost_stays_lost_when_a_vm_is_plugged_in(network: LabNetwork) -> None:
    network.set_bridge("1", is_up=False)
    namespace = network.namespace("1")
    netns.ip_batch(
        namespace,
        (
            "link add name vm type veth peer name guest",
            f"link set vm master {BRIDGE} up",
            "link set guest up",
        ),
    )
    assert bridge(network, "1") == 0.0


@needs_namespaces
def test_labs_at_one_time_have_one_address_and_nothing_else_in_common(network: LabNetwork) -> None:
    other = LabNetwork(["1", "2"])
    try:
        other.set_up()
        for each in (network, other):
            until(lambda each=each: answered(each, "1") == 1.0)
        network.set_link("1", is_up=False)
        until(lambda: answered(network, "1") == 0.0)
        assert answered(other, "1") == 1.0
    finally:
        other.remove()
    assert answered(network, "2") == 1.0
    # No VM is there.
    assert answered(network, "2", ENGINE) == 0.0


@needs_namespaces
def test_a_network_that_comes_up_by_half_is_removed() -> None:
    network = LabNetwork(["1", "2"])
    netns.ip("netns", "add", network.namespace("2"))
    with pytest.raises(HeFsmError, match="File exists"):
        network.set_up()
    network.remove()
    assert namespaces() == []


@needs_namespaces
def test_only_the_thread_that_enters_a_namespace_is_in_it(network: LabNetwork) -> None:
    home = Path("/proc/self/ns/net").readlink()
    with netns.inside(network.namespace("1")):
        assert Path("/proc/thread-self/ns/net").readlink() != home
    assert Path("/proc/thread-self/ns/net").readlink() == home
    with pytest.raises(FileNotFoundError), netns.inside("he-fsm-none"):
        pass
