"""Power of a host: it is cut, it comes back and the host boots, or its watchdog resets the host."""

from __future__ import annotations

from he_fsm.simulate.happenings import agent_process, hypervisor, renewals
from he_fsm.simulate.host import RUNS, SimHost
from he_fsm.simulate.world import World


def off(world: World, host: SimHost) -> None:
    """Cut the power: VM, agent and renewals end at once."""
    host.boot += 1
    host.is_booting = False
    host.leaves_at = host.goes_down = None
    if not host.is_up:
        return
    agent_process.kill(world, host)
    host.clock.resume(world.now)
    host.is_up = host.is_frozen = False
    host.deferred.clear()
    host.restarts_at.clear()
    hypervisor.lose_power(world, host)
    host.owes_release = False
    member = host.member
    if member.renews and member.is_joined:
        renewals.lapse_lease(world, host)
    host.lapse += 1
    world.mark_truth()


def on(world: World, host: SimHost) -> None:
    """Boot a host that is off, or as soon as it is, if it is being shut down in order."""
    host.boots_again = host.leaves_at is not None
    if host.is_up or host.is_booting:
        return
    host.is_booting = True
    boot = host.boot

    def booted() -> None:
        if host.boot == boot:
            _booted(world, host)

    world.at(world.now + world.times.reboot_s, booted)


def _booted(world: World, host: SimHost) -> None:
    host.is_booting = False
    host.is_up = True
    host.boot += 1
    host.broker = host.sanlock = RUNS
    host.doomed_until = None
    host.clock.boot(world.now)
    world.note(host, "agent", "the host has booted")
    if host.storage_answers:
        renewals.join(world, host)
    else:
        host.member.is_joined = False
    agent_process.start(world, host, after_boot=True)


def reset(world: World, host: SimHost) -> None:
    """Cut the power, and boot again."""
    off(world, host)
    on(world, host)


def watchdog_resets(world: World, host: SimHost) -> None:
    """Reset a host, as its watchdog does."""
    world.count("resets", host)
    world.note(host, "fault", "the watchdog resets the host", reset=True)
    reset(world, host)
