"""What the sanlock back end plays where the real thing can not be had; imports no extra."""

from __future__ import annotations

from typing import Final

from he_fsm.rehearse import netns, watchdog
from he_fsm.scenario.model import Scenario, Verb

# A reading of the monitors that a link or a bridge can show.
READINGS: Final = ("gateway", "bridge")


def real_readings(scenario: Scenario, host: str) -> frozenset[str]:
    """Give the readings of a host that a scenario has as there or gone, never in between."""
    config = next(each for each in scenario.hosts if each.name == host)
    values: dict[str, set[float]] = {name: {getattr(config, name)} for name in READINGS}
    for entry in scenario.timeline:
        if entry.verb is Verb.SET and host in entry.hosts:
            for name in READINGS:
                values[name] |= {entry.value[name]} if name in entry.value else set()
    return frozenset(name for name in READINGS if values[name] <= {0.0, 1.0})


def notices(scenario: Scenario) -> list[str]:
    """Say in a line each what of a scenario is played; empty: all is real."""
    return [*_networks(scenario), *_watchdogs(scenario)]


def _networks(scenario: Scenario) -> list[str]:
    why = netns.why_not()
    if why:
        return [f"no network namespaces ({why}): gateways and bridges are played by files"]
    played = [
        f"{reading} of host {host.name}"
        for reading in READINGS
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
