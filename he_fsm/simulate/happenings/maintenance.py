"""Local maintenance, and the maintenance that ends by itself: by the wall clock of who looks."""

from __future__ import annotations

import math
from typing import Optional

from he_fsm.simulate.host import SimHost
from he_fsm.simulate.world import World


def ends_at(wall: float, for_s: Optional[float]) -> Optional[int]:
    """Return when a maintenance ends that is set now (seconds since 1970); None: it does not."""
    return None if for_s is None else math.ceil(wall + for_s)


def set_local(world: World, host: SimHost, word: str, for_s: Optional[float]) -> None:
    """Set or end the flag of a host, which outlives daemons and power."""
    host.local_maintenance = word == "on"
    host.local_until = ends_at(host.clock.wall(world.now), for_s)
    _look_then(world, host)
    world.wake(host)


def look(world: World, host: SimHost) -> None:
    """End a flag whose time is over; its broker is asked."""
    until = host.local_until
    if until is not None and host.clock.wall(world.now) >= until:
        host.local_maintenance, host.local_until = False, None
        world.note(host, "agent", "the time of local maintenance is over")


def _look_then(world: World, host: SimHost) -> None:
    """Have the host's agent look when the time should be over, if its clock goes on so."""
    until = host.local_until
    if until is None:
        return

    def act() -> None:
        if host.local_until == until:
            world.idle.stir(host)

    world.at(world.now + max(0.0, until - host.clock.wall(world.now)), act)
