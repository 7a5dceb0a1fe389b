"""
The states at which exploring begins.

They are a cluster that has been running for long, and one in which all agents start now with empty
memories. Both are also taken with failed starts, since it would take faults to bring a host near
its block.
"""

from __future__ import annotations

from typing import NamedTuple

from he_fsm.check import layout as at
from he_fsm.check.cluster import Cluster
from he_fsm.check.layout import State, place
from he_fsm.check.memories import now_of
from he_fsm.check.rounds import Rounds
from he_fsm.memory import Memory
from he_fsm.remembered import FailedStarts

# A cluster without faults comes to rest in far fewer rounds.
_ROUNDS_MAX = 100


class Beginning(NamedTuple):
    """
    A state at which exploring begins.

    `is_cold`: every agent starts now, and no engine runs. `failed`: the failed starts of each host,
    the last of them now. `faults`: how many faults may strike from here on.
    """

    is_cold: bool
    failed: tuple[int, ...]
    faults: int


def beginnings(hosts: int, faults: int, failed_starts_max: int) -> tuple[Beginning, ...]:
    """Return the beginnings: all faults from a cluster at rest, one less from the others."""
    none = (0,) * hosts
    fewer = max(0, faults - 1)
    return (
        Beginning(False, none, faults),
        Beginning(True, none, fewer),
        Beginning(True, (failed_starts_max - 1,) * hosts, fewer),
        Beginning(False, (*none[1:], failed_starts_max), fewer),
    )


def begin(cluster: Cluster, rounds: Rounds, beginning: Beginning) -> State:
    """Return the state of a beginning."""
    state = _cold(cluster)
    if not beginning.is_cold:
        state = _at_rest(rounds, state)
    new = list(state)
    new[at.BUDGET] = beginning.faults
    for host, count in enumerate(beginning.failed):
        p = place(host)
        new[p + at.FAILED] = at.failed_of(count)
        memory = cluster.steps.memory(new[p + at.MEMORY])
        failed = FailedStarts(count=count, last_at=now_of(host + 1))
        new[p + at.MEMORY] = cluster.steps.keep(memory._replace(failed=failed), host + 1)
    return tuple(new)


def _cold(cluster: Cluster) -> State:
    """Return a cluster in which every agent starts now, with empty memories and empty slots."""
    hosts: list[int] = []
    for host_id in range(1, cluster.hosts + 1):
        numbers = [0] * at.WIDTH
        memory = Memory.beginning(now_of(host_id))
        numbers[at.MEMORY] = cluster.steps.keep(memory, host_id)
        numbers[at.FLAGS] = at.POWER | at.AGENT
        hosts += numbers
    return (*[0] * at.HEAD, *hosts, *[0] * cluster.hosts**2)


def _at_rest(rounds: Rounds, state: State) -> State:
    """Return the cluster after quiet rounds in which it starts an engine and comes to rest."""
    for _ in range(_ROUNDS_MAX):
        quiet = rounds.play(state).quiet
        if not quiet or quiet[0].state == state:
            break
        state = quiet[0].state
    return state
