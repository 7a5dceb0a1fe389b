"""What a scenario asks of a lab."""

from __future__ import annotations

from typing import Final

from he_fsm.lab.spec import LINK_READINGS, READINGS, HostSpec, LabSpec, VmTimes
from he_fsm.scenario.model import Scenario, Verb

# What befalls a host by its own logind.
IN_ORDER: Final = ("shutdown", "reboot", "stay")


def spec_of(scenario: Scenario, speed: float) -> LabSpec:
    """Return what a lab has to be so that the scenario can run in it, *speed* times as fast."""
    world = scenario.world
    return LabSpec(
        hosts=tuple(
            HostSpec(
                host_id=host.id,
                name=host.name,
                hostname=host.hostname,
                readings={name: getattr(host, name) for name in READINGS},
                has_watchdog=host.watchdog,
                preference=host.preference,
                real_readings=real_readings(scenario, host.name),
            )
            for host in scenario.hosts
        ),
        policy=scenario.policy,
        speed=speed,
        memory_mib=scenario.engine.memory,
        vm_times=VmTimes(
            start_s=world.vm_start_s,
            boot_s=world.vm_boot_s,
            shutdown_s=world.vm_shutdown_s,
            migration_s=world.migration_s,
        ),
        loses_power_silently=world.arrival_timeout_s > 0,
        shutdown_delay_s=world.shutdown_delay_s if shuts_down(scenario) else None,
        has_sick_boots=any(entry.verb is Verb.BOOTS for entry in scenario.timeline),
    )


def shuts_down(scenario: Scenario) -> bool:
    """Return whether hosts are shut down or rebooted in order."""
    return any(entry.verb is Verb.POWER and entry.value in IN_ORDER for entry in scenario.timeline)


def real_readings(scenario: Scenario, host: str) -> frozenset[str]:
    """Return the readings of a host that are there or gone in a scenario, never in between."""
    config = next(each for each in scenario.hosts if each.name == host)
    values: dict[str, set[float]] = {name: {getattr(config, name)} for name in LINK_READINGS}
    for entry in scenario.timeline:
        if entry.verb is Verb.SET and host in entry.hosts:
            for name in LINK_READINGS:
                values[name] |= {entry.value[name]} if name in entry.value else set()
    return frozenset(name for name in LINK_READINGS if values[name] <= {0.0, 1.0})
