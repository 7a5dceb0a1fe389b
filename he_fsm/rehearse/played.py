"""What back ends with real VMs play where the real thing can not be had; imports no extra."""

from __future__ import annotations

from he_fsm.lab import netns, watchdog
from he_fsm.lab.spec import LINK_READINGS
from he_fsm.rehearse.lab_spec import real_readings
from he_fsm.scenario.model import Scenario


def notices(scenario: Scenario) -> list[str]:
    """Return a line for each part of a scenario that is played; empty: all is real."""
    return [*_networks(scenario), *_watchdogs(scenario)]


def _networks(scenario: Scenario) -> list[str]:
    why = netns.why_not()
    if why:
        return [f"no network namespaces ({why}): gateways and bridges are played by files"]
    played = [
        f"{reading} of host {host.name}"
        for reading in LINK_READINGS
        for host in scenario.hosts
        if reading not in real_readings(scenario, host.name)
    ]
    if not played:
        return []
    return [f"played by files, as a link has no fractions: {', '.join(played)}"]


def _watchdogs(scenario: Scenario) -> list[str]:
    why = watchdog.why_not()
    if why and any(host.watchdog for host in scenario.hosts):
        return [f"no watchdog behind sanlock ({why}): resets are played by the rehearsal"]
    return []
