"""
Where exploring begins.

A cluster that has been running for long; one in which all agents start now and know nothing; and
both with failed starts behind them, or it would take faults to bring a host near its block.
"""

from __future__ import annotations

from typing import NamedTuple

import attrs

from he_fsm.check import layout as at
from he_fsm.check.cluster import Cluster, failed_of
from he_fsm.check.layout import State, place
from he_fsm.check.memories import now_of
from he_fsm.check.rounds import Rounds
from he_fsm.memory import FailedStarts, Memory

# A cluster without faults comes to rest long before.
_ROUNDS_MAX = 100


class Beginning(NamedTuple):
    """
    A state to begin with.

    `is_cold`: every agent starts now, and no engine runs. `failed`: how many failed starts each
    host counts, the last of them now. `faults`: how many may strike from here on.
    """

    is_cold: bool
    failed: tuple[int, ...]
    faults: int


def beginnings(hosts: int, faults: int, failed_starts_max: int) -> tuple[Beginning, ...]:
    """Give where to begin: all faults from a cluster at rest, one less from the others."""
    none = (0,) * hosts
    fewer = max(0, faults - 1)
    return (
        Beginning(False, none, faults),
        Beginning(True, none, fewer),
        Beginning(True, (failed_starts_max - 1,) * hosts, fewer),
        Beginning(False, (*none[1:], failed_starts_max), fewer),
    )


def begin(cluster: Cluster, rounds: Rounds, beginning: Beginning) -> State:
    """Give the state of a beginning."""
    state = _cold(cluster)
    if not beginning.is_cold:
        state = _at_rest(rounds, state)
    new = list(state)
    new[at.BUDGET] = beginning.faults
    for host, count in enumerate(beginning.failed):
        p = place(host)
        new[p + at.FAILED] = failed_of(count)
        memory = cluster.steps.memory(new[p + at.MEMORY])
        failed = FailedStarts(count=count, last_at=now_of(host + 1))
        new[p + at.MEMORY] = cluster.steps.keep(attrs.evolve(memory, failed=failed), host + 1)
    return tuple(new)


def _cold(cluster: Cluster) -> State:
    """Give a cluster in which every agent starts now and knows nothing, and no slot is written."""
    hosts: list[int] = []
    for host_id in range(1, cluster.hosts + 1):
        numbers = [0] * at.WIDTH
        memory = Memory.beginning(now_of(host_id))
        numbers[at.MEMORY] = cluster.steps.keep(memory, host_id)
        numbers[at.FLAGS] = at.POWER | at.AGENT
        hosts += numbers
    return (*[0] * at.HEAD, *hosts, *[0] * cluster.hosts**2)


def _at_rest(rounds: Rounds, state: State) -> State:
    """Let a cluster start an engine and come to rest."""
    for _ in range(_ROUNDS_MAX):
        quiet = rounds.play(state).quiet
        if not quiet or quiet[0].state == state:
            break
        state = quiet[0].state
    return state
