"""What is true in a simulated world, as it is shown to the judge, the rules and the report."""

from __future__ import annotations

from typing import Optional

from he_fsm.report.events import Event
from he_fsm.simulate import rules
from he_fsm.simulate.world import Shown, World


def show_truth(world: World) -> None:
    """Report what has become true, and judge the rules that always hold."""
    vms = tuple(world.engine.vms.values())
    running = [each for each in vms if each.executes]
    is_good = any(each.page_is_good for each in running)
    owner = world.lockspace.owner
    if owner is not None and world.now >= world.expiry(owner.name):
        owner = None
    vm = world.engine.main
    truth = Shown(
        None if vm is None else vm.host.name,
        {each.host.name: each.word for each in vms},
        len(running),
        is_good,
        None if owner is None else owner.name,
    )
    before = world.shown
    if truth != before:
        world.shown = truth
        _observe(world, truth)
        if truth.lease != before.lease:
            _note_lease(world, truth.lease)
    rules.check_engines(world, running, truth.lease)


def _observe(world: World, truth: Shown) -> None:
    judge, now, main, lease = world.judge, world.now, truth.main, truth.lease
    judge.observe(now, ("engine_on",), main)
    judge.observe(now, ("engine",), "down" if main is None else truth.words[main])
    judge.observe(now, ("running",), truth.running)
    judge.observe(now, ("healthy",), truth.is_good)
    judge.observe(now, ("lease",), lease)
    world.truth.show_engine(now, main, truth.words, is_good=truth.is_good)
    world.truth.show(now, "lease", lease, None if lease is None else "held")


def _note_lease(world: World, lease: Optional[str]) -> None:
    text = "the engine's lease is free" if lease is None else f"host {lease} holds the lease"
    world.events.append(Event(world.now, lease, "lease", {"text": text, "owner": lease}))
    if lease is None:
        # A reading shows that the lease is free when its release can be read.
        news_at = world.now + world.times.storage_latency_s + world.policy.lease_news_s
        world.at(news_at, lambda: _hear_of_the_lease(world))


def _hear_of_the_lease(world: World) -> None:
    """Notify the agents whose brokers can read that the lease is free, if it still is."""
    if world.shown.lease is None:
        for host in world.hosts.values():
            if host.is_up and host.sees_leases:
                world.wake(host)
