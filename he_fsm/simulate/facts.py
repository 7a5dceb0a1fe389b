"""What a simulated agent finds when it looks: its VM, the monitors, the leases, the clocks."""

from __future__ import annotations

from typing import Optional

import attrs

from he_fsm.simulate.happenings import maintenance, renewals
from he_fsm.simulate.host import RUNS, Agent, SimHost
from he_fsm.simulate.world import World
from he_fsm.snapshot import LeaseView, LocalVm, OwnerState, Reading, Readings, Result
from he_fsm.tick import Facts

# What a broker says that has seen the daemon end under a joined lockspace.
DOOMED = "sanlock has ended: the watchdog resets this host, even if a new daemon runs"


def facts_of(world: World, host: SimHost, agent: Agent, now: float) -> Facts:
    """Return all that an agent finds with a look, but for the whiteboard."""
    vm = host.local_vm
    if vm is None:
        vm = host.local_vm = world.engine.as_seen_by(host)
    results: tuple[Result, ...] = ()
    if agent.results:
        results, agent.results = tuple(agent.results), []
    readings = host.readings
    if host.broker == RUNS:
        if host.local_until is not None:
            maintenance.look(world, host)
        agent.heard_at, agent.local_maintenance = now, host.local_maintenance
    else:
        readings, vm = _without_broker(agent, readings, vm, now)
    return Facts(
        now=now,
        wall_offset_s=host.clock.wall_offset_s,
        readings=readings,
        vm=vm,
        leases=_leases(world, host) if host.sees_leases else None,
        local_maintenance=agent.local_maintenance,
        results=results,
        boot_now=host.clock.boottime(world.now) if world.suspends_hosts else None,
        leaves_by=None if host.leaves_at is None else host.clock.monotonic(host.leaves_at),
    )


def _without_broker(
    agent: Agent, readings: Readings, vm: LocalVm, now: float
) -> tuple[Readings, LocalVm]:
    """Return what an agent goes by whose broker, with all monitors, does not answer."""
    age_s = now - max(agent.heard_at, agent.memory.began_at)
    has_heard = agent.heard_at >= agent.memory.began_at

    def older(reading: Reading) -> Reading:
        return Reading(reading.value if has_heard else None, age_s)

    aged = attrs.evolve(
        readings,
        gateway=older(readings.gateway),
        bridge=older(readings.bridge),
        mem_free=older(readings.mem_free),
        cpu_load=older(readings.cpu_load),
        mem_load=older(readings.mem_load),
    )
    return aged, LocalVm(vm.state)


def _leases(world: World, host: SimHost) -> LeaseView:
    """Return the leases as this host's lease manager shows them; the same object for the same."""
    lockspace, member, time = world.lockspace, host.member, world.now
    # A daemon that can't write has the host id until it gives up.
    if not host.holds_id and (host.storage_answers or not member.is_joined):
        holder = lockspace.holders.get(host.host_id)
        is_taken = holder is not None and holder is not member
        # A host that waits for its id tries again with every look.
        if not member.is_joined and lockspace.can_join(member, time):
            renewals.ask_to_join(world, host)
        doomed_until, doom = _doom_of(host)
        return LeaseView(joined=False, held_by_other=is_taken, doomed_until=doomed_until, doom=doom)
    dead_hosts = lockspace.dead_hosts(member, time)
    owner = lockspace.seen_owner(time)
    owner_id, state, free_at = None, OwnerState.FREE, None
    if owner is not None and not owner.has_left:
        owner_id, state = owner.host_id, OwnerState.LIVE
        if lockspace.is_failing(owner, time):
            state = OwnerState.FAILING
            free_at = host.clock.monotonic(lockspace.free_at(owner, time, member))
    doomed_until, doom = _doom_of(host)
    before = host.leases
    if (
        before is None
        or before.doomed_until != doomed_until
        or before.owner != owner_id
        or before.owner_state is not state
        or before.free_at != free_at
        or before.dead_hosts != dead_hosts
    ):
        before = host.leases = LeaseView(
            owner=owner_id,
            owner_state=state,
            free_at=free_at,
            dead_hosts=dead_hosts,
            doomed_until=doomed_until,
            doom=doom,
        )
    return before


def _doom_of(host: SimHost) -> tuple[Optional[float], str]:
    """Return until when a host is doomed on its own clock, and why."""
    if host.doomed_until is None:
        return None, ""
    return host.clock.monotonic(host.doomed_until), DOOMED
