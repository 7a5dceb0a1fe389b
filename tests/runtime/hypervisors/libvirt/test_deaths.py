"""A guest that reports its own death is believed at once."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from he_fsm.snapshot import Outcome, VmState
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.libvirt.libvirt_hosts import NEEDS_LIBVIRT, LibvirtHosts

pytestmark = NEEDS_LIBVIRT

PANIC, WATCHDOG = "the guest has panicked", "the guest's watchdog has fired"


def define(hosts: LibvirtHosts, path: str, attribute: str, value: str) -> None:
    """Define the domain with another text, or another attribute, of one element."""
    root = ET.fromstring(hosts.lab.xml())
    element = root.find(path)
    assert element is not None
    if attribute:
        element.set(attribute, value)
    else:
        element.text = value
    hosts.lab.define(1, ET.tostring(root, encoding="unicode"))


def dies(hosts: LibvirtHosts, word: str) -> list[tuple[Outcome, str]]:
    """Have the guest die, and return what is told of it."""
    hosts.start(1)
    assert hosts.say(word) == "ok\n"
    # The guest waits for 0.2 s before it does what it was told.
    until(lambda: hosts.state(1) is VmState.ABSENT, within_s=3.0)
    return [(each.outcome, each.detail) for each in hosts.told[1]]


@pytest.mark.parametrize(("word", "why"), [("panic", PANIC), ("watchdog", WATCHDOG)])
def test_a_guest_that_reports_its_death_is_believed_at_once(
    hosts: LibvirtHosts, word: str, why: str
) -> None:
    assert dies(hosts, word) == [(Outcome.GUEST_DIED, why)]
    until(lambda: hosts.owner() is None)
    hosts.start(2)


def test_a_guest_that_was_kept_after_its_panic_is_ended(hosts: LibvirtHosts) -> None:
    define(hosts, "on_crash", "", "preserve")
    assert dies(hosts, "panic") == [(Outcome.GUEST_DIED, PANIC)]


def test_a_guest_that_its_watchdog_has_paused_is_ended(hosts: LibvirtHosts) -> None:
    define(hosts, "devices/watchdog", "action", "pause")
    assert dies(hosts, "watchdog") == [(Outcome.GUEST_DIED, WATCHDOG)]


def test_a_guest_that_its_watchdog_resets_runs_on(hosts: LibvirtHosts) -> None:
    define(hosts, "devices/watchdog", "action", "reset")
    hosts.start(1)
    vm = hosts.access(1).identity()
    assert hosts.say("watchdog") == "ok\n"
    until(lambda: hosts.page() is None)
    until(lambda: hosts.page() == 200)
    assert (hosts.access(1).identity(), hosts.told[1]) == (vm, [])
