"""What a lab is asked for, in plain values; times are those of the policy, before the speed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Optional

import attrs

from he_fsm.policy import Policy
from he_fsm.score import Preference

# What the monitors of a host read, and the ones among it that a link or a bridge can show.
READINGS: Final = ("gateway", "bridge", "mem_free", "cpu_load", "mem_load")
LINK_READINGS: Final = ("gateway", "bridge")


@attrs.frozen(kw_only=True)
class HostSpec:
    """
    One host.

    `readings` has a value for each of `READINGS`. `real_readings` are those of `LINK_READINGS`
    that a real link or bridge shows, where this machine can have one; they are never in between
    0 and 1.
    """

    host_id: int
    name: str
    hostname: str
    readings: Mapping[str, float]
    has_watchdog: bool = True
    preference: Preference = 0
    real_readings: frozenset[str] = frozenset()


@attrs.frozen(kw_only=True)
class VmTimes:
    """How long the engine's VM takes for what it does, in seconds."""

    start_s: float
    boot_s: float
    shutdown_s: float
    migration_s: float


@attrs.frozen(kw_only=True)
class LabSpec:
    """
    A whole lab.

    `memory_mib` is what the engine's VM needs of a host. `has_sick_boots`: the VM's boot is to
    fail at some time. `loses_power_silently`: a host that loses power says nothing more: its
    connections stay open at their other ends. `shutdown_delay_s`: how long an orderly shutdown
    of a host waits for its agent; None: no host is shut down so. Everything runs *speed* times as
    fast as policy and VM times say.
    """

    hosts: tuple[HostSpec, ...]
    policy: Policy
    speed: float
    memory_mib: float
    vm_times: VmTimes
    has_sick_boots: bool = False
    loses_power_silently: bool = False
    shutdown_delay_s: Optional[float] = None
