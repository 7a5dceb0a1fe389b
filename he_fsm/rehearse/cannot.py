"""Which entries of a scenario a back end of one machine can't do, and why; nothing is started."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from he_fsm.lab import netns, watchdog
from he_fsm.lab.lease_sight import OUTSIDER
from he_fsm.lab.logind import host_bus
from he_fsm.lab.mount import NO_MOUNT, can_mount
from he_fsm.lab.sanlock.release import VARIABLE, can_set_watchdog
from he_fsm.rehearse.lab_spec import shuts_down
from he_fsm.scenario.model import Scenario, TimelineEntry, Verb

# The kernel's I/O is not sped up: a stall of less than this would cost a host its id (seconds).
_IO_TIMEOUT_MIN_S: Final = 0.2
# sanlock's own, and a constant of releases before 3.9, in seconds of its own clock.
_WATCHDOG_S: Final = 60


def cannot(scenario: Scenario, *, has_sanlock: bool = False) -> list[str]:
    """
    Say which entries of a scenario a back end can't do whose VMs are processes, and why.

    Found before anything is started. *has_sanlock*: each host has a sanlock daemon of its own.
    """
    reasons = _of_one_machine(scenario, has_sanlock=has_sanlock)
    if scenario.world.arrival_timeout_s and not has_sanlock:
        reasons.append(_drops_no_packets("--backend sanlock drops packets"))
    if not scenario.world.pause_keeps_lease:
        reasons.append(
            "world: pause_keeps_lease: the VMs here keep their lease while paused; "
            "--backend libvirt has domains that do not"
        )
    return reasons


def _of_one_machine(scenario: Scenario, *, has_sanlock: bool) -> list[str]:
    """Say which entries of a scenario no back end of one machine can do, and why."""
    reasons = [
        f"{entry.place}: {entry.text}: {why}"
        for entry in scenario.timeline
        if (why := _why_not(entry, has_sanlock=has_sanlock))
    ]
    reasons.extend(
        f"host {host.name}: clock: this machine has one clock for all hosts"
        for host in scenario.hosts
        if host.wall_offset_s or host.wall_start_s is not None
    )
    if scenario.engine.lease_left_s is not None:
        reasons.append(
            "engine: lease_left: a real lease runs out from the moment of its last renewal"
        )
    if scenario.engine.kept_by is not None:
        reasons.append("engine: kept_by: let a host shut down first, by power: shutdown")
    if scenario.engine.doing != "running":
        reasons.append("engine: doing: a rehearsal begins with an engine that runs, or with none")
    if shuts_down(scenario) and (why := host_bus.why_not()):
        reasons.append(f"power: shutdown and reboot: {why}")
    names = [host.id for host in scenario.hosts]
    if len(set(names)) < len(names):
        reasons.append("hosts: two hosts with one id need two machines")
    return reasons


def _why_not(entry: TimelineEntry, *, has_sanlock: bool) -> str:
    if entry.verb is Verb.SANLOCK and not has_sanlock:
        return "embedded leases have no sanlock; --backend sanlock has"
    if entry.verb is Verb.CLOCK:
        return "this machine has one clock for all hosts"
    if entry.verb is Verb.POWER and entry.value in ("suspend", "resume"):
        return "a host can't be suspended without this machine; he-fsm simulate plays it"
    if entry.verb is Verb.STORAGE and entry.value[0] == "slow":
        return "this machine's storage can be cut or hang for one host, not be slow"
    if entry.verb is Verb.STORAGE and entry.value[0] in ("no-writes", "no-reads"):
        return "a host's storage can be cut or hang here, not for reads or writes alone"
    if entry.verb is Verb.FAILED_STARTS:
        return "a running agent's count can't be set from outside"
    if entry.verb is Verb.SLOT and entry.value[0] == "torn" and entry.for_s is not None:
        return "what a torn write left can't be kept for a time"
    return ""


def sanlock_cannot(scenario: Scenario, speed: float) -> list[str]:
    """Return which entries of a scenario the sanlock back end can't do, and why."""
    reasons = cannot(scenario, has_sanlock=True)
    reasons.extend(
        f"{entry.place}: {entry.text}: a real QEMU can't be kept from its agent: it has the "
        "monitor open"
        for entry in scenario.timeline
        if entry.verb is Verb.HYPERVISOR
    )
    reasons.extend(_of_sanlock(scenario, speed))
    return reasons


def vdsm_cannot(scenario: Scenario, speed: float) -> list[str]:
    """Return which entries of a scenario the vdsm back end can't do, and why."""
    reasons = cannot(scenario, has_sanlock=True)
    reasons.extend(
        f"{entry.place}: {entry.text}: vdsm does not tell that a guest has reported its own death; "
        "--backend libvirt does"
        for entry in scenario.timeline
        if entry.verb is Verb.ENGINE and entry.value[0] == "panic"
    )
    reasons.extend(_of_sanlock(scenario, speed))
    return reasons


def libvirt_cannot(scenario: Scenario, speed: float) -> list[str]:
    """Return which entries of a scenario the libvirt back end can't do, and why."""
    reasons = _of_one_machine(scenario, has_sanlock=True)
    pauses = [
        f"{entry.place}: {entry.text}"
        for entry in scenario.timeline
        if entry.verb is Verb.ENGINE and entry.value[0] == "pause"
    ]
    if scenario.engine.paused:
        pauses.append("engine: paused")
    if scenario.world.pause_keeps_lease:
        reasons.extend(
            f"{pause}: libvirt releases the lease of a domain that is paused: write "
            "world: {pause_keeps_lease: false}, and read what the simulator makes of it"
            for pause in pauses
        )
    reasons.extend(_of_sanlock(scenario, speed))
    return reasons


def _drops_no_packets(why: str) -> str:
    return (
        "world: arrival_timeout: a host's kernel closes the connections of a process that is "
        f"killed, and nothing drops its packets here: {why}"
    )


def _of_sanlock(scenario: Scenario, speed: float) -> list[str]:
    """Return which entries of a scenario real sanlock daemons and real VMs can't do, and why."""
    reasons = [
        f"{entry.place}: {entry.text}: {why}"
        for entry in scenario.timeline
        if (why := _why_not_real(entry))
    ]
    reasons.extend(
        f"host {host.name}: id {OUTSIDER} is for who looks at the leases from outside"
        for host in scenario.hosts
        if host.id == OUTSIDER
    )
    if scenario.world.arrival_timeout_s and (why := netns.why_not()):
        reasons.append(_drops_no_packets(why))
    if speed < 1:
        reasons.append(f"--speed {speed:g}: sanlock can be faster than the clock, not slower")
    io_timeout_s = scenario.policy.io_timeout_s
    if io_timeout_s != round(io_timeout_s):
        reasons.append(f"io_timeout: sanlock's is a whole number of seconds, not {io_timeout_s:g}")
    if io_timeout_s / speed < _IO_TIMEOUT_MIN_S:
        least = _IO_TIMEOUT_MIN_S * speed
        reasons.append(f"io_timeout: at speed {speed:g} the disk needs {least:g} s or more")
    reasons.extend(_of_watchdogs(scenario))
    return reasons


def _of_watchdogs(scenario: Scenario) -> Iterator[str]:
    """Return why sanlock can't have the watchdog's times of a scenario."""
    watchdog_s = scenario.policy.watchdog_s
    if any(host.watchdog_time_s not in (None, watchdog_s) for host in scenario.hosts):
        yield "watchdog_time: all hosts of a rehearsal have the policy's watchdog_s"
    if watchdog_s == _WATCHDOG_S:
        return
    if watchdog_s != round(watchdog_s):
        yield f"watchdog_s: sanlock's is a whole number of seconds, not {watchdog_s:g}"
    elif not can_set_watchdog():
        yield (
            f"watchdog_s: sanlock's is {_WATCHDOG_S} s; only from its release 3.9 on it can be"
            f" another. {VARIABLE} may name a folder with such a release"
        )
    elif why := watchdog.why_not(sets_timeout=True):
        yield f"watchdog_s: another time than {_WATCHDOG_S} s needs an /etc of its own: {why}"


def _why_not_real(entry: TimelineEntry) -> str:
    if entry.verb is Verb.STORAGE and entry.value[0] in ("cut", "hang") and not can_mount():
        return NO_MOUNT
    if entry.verb is Verb.MIGRATIONS and entry.value[0] == "hang":
        return "a real migration can be made to fail, not to hang: its own limits would end it"
    return ""
