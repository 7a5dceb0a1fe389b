"""libvirt's daemon restarts, hangs, or is not there; the agent ends and comes back."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import psutil
import pytest

from he_fsm.errors import HypervisorError
from he_fsm.lab.libvirt.daemon import LibvirtProcess
from he_fsm.snapshot import Outcome, VmState
from he_fsm.testing.hypervisors import EVENT_S
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.libvirt.libvirt_hosts import (
    NEEDS_LIBVIRT,
    LibvirtHosts,
    LibvirtLab,
)

pytestmark = [*NEEDS_LIBVIRT, pytest.mark.long]

# A loop of the agent's, within which a daemon that hangs has to be noticed.
LOOP_S = 10.0
# libvirt's own sign of life gives a daemon up by then, on a machine that is busy.
GIVEN_UP_S = 20.0


@pytest.fixture
def daemon(lab: LibvirtLab) -> Iterator[LibvirtProcess]:
    """Return the daemon of host 1, and see that it runs after the test."""
    process = lab.daemons[1]
    yield process
    process.go_on()
    if process.pid is None:
        process.start()


def test_a_daemon_that_restarts_costs_the_domain_nothing(
    hosts: LibvirtHosts, daemon: LibvirtProcess
) -> None:
    hosts.start(1)
    pid = hosts.pid(1)
    daemon.kill()
    hosts.reaches(1, VmState.UNKNOWN)
    assert hosts.page() == 200
    assert hosts.owner() == 1
    daemon.start()
    until(lambda: hosts.is_good_on(1))
    assert hosts.pid(1) == pid
    event = hosts.wake_event(1)
    hosts.pause(1)
    assert event.wait(EVENT_S)
    assert hosts.told[1] == []


def test_what_happens_while_there_is_no_daemon_is_made_up_for(
    hosts: LibvirtHosts, daemon: LibvirtProcess
) -> None:
    hosts.start(1)
    daemon.kill()
    hosts.signal(1, signal.SIGKILL)
    daemon.start()
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.told[1] == []
    hosts.start(1)


def test_a_daemon_that_hangs_makes_the_state_unknown_and_costs_nothing_else(
    hosts: LibvirtHosts, daemon: LibvirtProcess
) -> None:
    hosts.start(1)
    daemon.stop()
    began_at = time.monotonic()
    hosts.reaches(1, VmState.UNKNOWN)
    assert time.monotonic() - began_at < LOOP_S
    assert hosts.page() == 200
    assert hosts.owner() == 1
    began_at = time.monotonic()
    hypervisor = hosts.hypervisor(1)
    with pytest.raises(HypervisorError):
        hypervisor.start()
    with pytest.raises(HypervisorError):
        hypervisor.shut_down()
    hypervisor.cancel_migration()
    assert hypervisor.observe().vm.state is VmState.UNKNOWN
    assert time.monotonic() - began_at < 0.5
    # It goes on, and so does the agent.
    daemon.go_on()
    until(lambda: hosts.is_good_on(1))


def test_a_connection_that_is_thrown_away_ends_while_its_daemon_hangs(
    daemon: LibvirtProcess,
) -> None:
    """libvirt does not end the second of two calls when it gives its daemon up."""
    from he_fsm.runtime.hypervisors.libvirt.connection import Connection, LibvirtSilentError

    before = set(threading.enumerate())
    connection = Connection.opened(daemon.uri)
    connection.register(lambda *_: None, LIFECYCLE=lambda *_: None)
    daemon.stop()
    with pytest.raises(LibvirtSilentError):
        connection.call("ask", connection.raw.getLibVersion, 0.5)
    connection.close()
    until(lambda: not _asking(before), GIVEN_UP_S)


def _asking(before: set[threading.Thread]) -> list[threading.Thread]:
    """Return the threads that have begun since and wait for libvirt."""
    return [thread for thread in set(threading.enumerate()) - before if "libvirt: " in thread.name]


def test_a_domain_can_be_ended_while_its_daemon_hangs(
    hosts: LibvirtHosts, daemon: LibvirtProcess
) -> None:
    hosts.start(1)
    daemon.stop()
    access = hosts.access(1)
    began_at = time.monotonic()
    vm = access.identity()
    assert vm is not None
    access.kill_now(vm)
    assert time.monotonic() - began_at < 0.2
    until(lambda: access.identity() is None)
    daemon.go_on()
    hosts.reaches(1, VmState.ABSENT)


def test_power_off_needs_no_daemon(hosts: LibvirtHosts, daemon: LibvirtProcess) -> None:
    hosts.start(1)
    daemon.stop()
    hosts.hypervisor(1).power_off()
    until(lambda: hosts.access(1).identity() is None)
    daemon.go_on()
    hosts.reaches(1, VmState.ABSENT)


def test_an_agent_begins_and_ends_beside_a_daemon_that_hangs(
    hosts: LibvirtHosts, daemon: LibvirtProcess
) -> None:
    hosts.start(1)
    hosts.restart_agent(1)
    daemon.stop()
    began_at = time.monotonic()
    assert hosts.state(1) is VmState.UNKNOWN
    hosts.restart_agent(1)
    assert hosts.state(1) is VmState.UNKNOWN
    assert time.monotonic() - began_at < LOOP_S
    daemon.go_on()
    until(lambda: hosts.is_good_on(1))


def test_a_daemon_killed_during_a_start(hosts: LibvirtHosts, daemon: LibvirtProcess) -> None:
    hosts.hypervisor(1).start()
    until(lambda: hosts.access(1).identity() is not None)
    daemon.kill()
    daemon.start()
    # Whatever became of it, it is known in the end, and a further order is obeyed.
    until(lambda: hosts.state(1) in (VmState.ABSENT, VmState.UP, VmState.PAUSED))
    hosts.hypervisor(1).power_off()
    hosts.reaches(1, VmState.ABSENT)
    hosts.start(1)


def test_a_guest_that_ignores_the_button_is_stopping_until_it_is_powered_off(
    hosts: LibvirtHosts,
) -> None:
    hosts.start(1)
    assert hosts.say("deaf") == "ok\n"
    hosts.hypervisor(1).shut_down()
    hosts.reaches(1, VmState.STOPPING)
    hosts.restart_agent(1)
    assert hosts.state(1) is VmState.STOPPING
    hosts.hypervisor(1).power_off()
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.told[1] == []


def test_a_guest_that_powers_itself_off_is_gone(hosts: LibvirtHosts) -> None:
    hosts.start(1)
    hosts.say("off")
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.told[1] == []


def test_a_domain_killed_while_it_starts_is_a_failed_start(hosts: LibvirtHosts) -> None:
    hosts.hypervisor(1).start()
    until(lambda: hosts.access(1).identity() is not None)
    hosts.signal(1, signal.SIGKILL)
    until(lambda: hosts.state(1) is VmState.ABSENT and hosts.told[1])
    assert hosts.outcomes(1) == [Outcome.START_FAILED]
    hosts.start(1)


def test_many_adapters_leave_nothing_behind(hosts: LibvirtHosts) -> None:
    hosts.start(1)
    hosts.restart_agent(1)

    def left() -> tuple[int, int]:
        return psutil.Process().num_fds(), threading.active_count()

    def ends() -> bool:
        # A connection's own thread ends a moment after it was closed.
        return not [each for each in threading.enumerate() if each.name.startswith("libvirt")]

    until(ends)
    descriptors, threads = left()
    for _ in range(5):
        assert hosts.state(1) is VmState.UP
        hosts.pause(1)
        hosts.reaches(1, VmState.PAUSED)
        hosts.resume(1)
        hosts.reaches(1, VmState.UP)
        hosts.restart_agent(1)
        until(ends)
    assert left()[0] <= descriptors
    assert left()[1] <= threads


def test_the_console_has_a_new_password(hosts: LibvirtHosts, lab: LibvirtLab) -> None:
    root = ET.fromstring(lab.xml())
    devices = root.find("devices")
    assert devices is not None
    screen = ET.SubElement(devices, "graphics", type="vnc", port="5907", listen="127.0.0.1")
    screen.attrib.update({"passwd": "none", "passwdValidTo": "1970-01-01T00:00:01"})
    ET.SubElement(ET.SubElement(devices, "video"), "model", type="vga")
    lab.define(1, ET.tostring(root, encoding="unicode"))
    with pytest.raises(HypervisorError, match="does not run on this host"):
        hosts.access(1).console(60)
    hosts.start(1)
    console = hosts.access(1).console(60)
    assert (console.protocol, console.address, console.port) == ("vnc", "127.0.0.1", 5907)
    xml = hosts.by_hand(1, "XMLDesc", 1)
    shown = ET.fromstring(xml).find("devices/graphics")
    assert shown is not None
    assert shown.get("passwd") == console.password
    assert shown.get("passwdValidTo") != "1970-01-01T00:00:01"
    assert hosts.access(1).console(60).password != console.password
