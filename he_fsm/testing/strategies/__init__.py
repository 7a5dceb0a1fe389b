"""
Hypothesis strategies for what a host sees, remembers and writes.

Every field of every class is named in them and none is inferred: a new field breaks the tests
until somebody has thought about its values (see `whole`). Times are multiples of `GRID_S`, a power
of two, so that sums of them are exact. What depends on a policy is drawn as a plain number and read
afterwards: making strategies anew for each example takes most of the time.

    policies, any_policies     safe policies; those, `talk` and `ovirt`
    records, whiteboards       what one host writes; what all have written, with damaged slots
    readings                   what the monitors of a host read
    clusters                   the records of some hosts, and which of them are known to live
    snapshots                  what one host sees at one moment
    situations                 a memory, a snapshot and a policy: all that one decision is made from
"""

from __future__ import annotations

from he_fsm.testing.strategies.boards import (
    NO_MAINTENANCE,
    Cluster,
    clusters,
    host_ids,
    readings,
    records,
    whiteboards,
)
from he_fsm.testing.strategies.drawing import GRID_S, whole
from he_fsm.testing.strategies.policies import any_policies, policies
from he_fsm.testing.strategies.situations import (
    FREE_LEASE,
    Situation,
    situations,
    snapshots,
    states,
)

__all__ = [
    "FREE_LEASE",
    "GRID_S",
    "NO_MAINTENANCE",
    "Cluster",
    "Situation",
    "any_policies",
    "clusters",
    "host_ids",
    "policies",
    "readings",
    "records",
    "situations",
    "snapshots",
    "states",
    "whiteboards",
    "whole",
]
