"""
What a design's cycles are made of: what may fail first, where the engine may be, and how often.

A *cycle* begins at a quiet moment: nothing is broken, and the engine has run well for so long that
no agent remembers anything else. Its *episode* begins with the next fault, and lasts until the
cluster has been quiet for `settle_s`. Times between faults have no memory, so what comes after a
quiet moment depends on nothing but where the engine is then. (Regenerative simulation: Crane and
Iglehart 1975; the forcing of rare failures: Lewis and Böhm 1984.)
"""

from __future__ import annotations

import math
from typing import Final, Optional

import attrs

from he_fsm.campaign.faults import Fault
from he_fsm.campaign.model import Design
from he_fsm.campaign.spans import Exponential
from he_fsm.scenario.model import Host
from he_fsm.score import NEVER

# After the last thing that an agent can remember is over, the engine still has to be good.
_MARGIN_S: Final = 600.0
# Where faults come so often, a cycle would hardly ever end.
BUSY_MAX: Final = 0.5


@attrs.frozen
class Unit:
    """What fails on its own: a fault on its hosts; none: on the engine. `rate`: per second."""

    fault: Fault
    name: str
    hosts: tuple[str, ...]

    @property
    def rate(self) -> float:
        """How often it fails while it is up (per second)."""
        return 0.0 if self.fault.mtbf is None else 1.0 / self.fault.mtbf.mean_s


@attrs.frozen(kw_only=True)
class Shape:
    """
    A design's cycles.

    `places`: the hosts that may have the engine, in classes of hosts that are written alike; which
    of a class has it is drawn with equal chances. `settle_s`: how long it has to be quiet.
    """

    design: Design
    units: tuple[Unit, ...]
    places: tuple[tuple[str, ...], ...]
    settle_s: float

    @property
    def rate(self) -> float:
        """How often something fails while all is well (per second)."""
        return math.fsum(unit.rate for unit in self.units)

    def place_of(self, host: Optional[str]) -> Optional[int]:
        """Return the class of a host; None: the engine can't be there at a quiet moment."""
        return next((i for i, names in enumerate(self.places) if host in names), None)


def shape_of(design: Design) -> Shape:
    """Return the cycles of a design for which `why_not` has no reason."""
    units = tuple(
        Unit(fault, name, hosts) for fault in design.faults for name, hosts in fault.units
    )
    classes: dict[object, list[str]] = {}
    for host in design.scenario.hosts:
        if _can_have_engine(host):
            classes.setdefault(_likeness(host, design.faults), []).append(host.name)
    places = tuple(tuple(names) for names in classes.values())
    return Shape(design=design, units=units, places=places, settle_s=_settle_s(design))


def _can_have_engine(host: Host) -> bool:
    is_there = host.powered and host.agent_running and not host.maintenance
    return is_there and host.preference != NEVER


def _likeness(host: Host, faults: tuple[Fault, ...]) -> object:
    """Return what hosts have in common that differ in nothing but their names."""
    plain = attrs.evolve(host, id=1, name="", hostname="")
    return repr(plain), tuple(fault.name for fault in faults if host.name in fault.hosts)


def _settle_s(design: Design) -> float:
    """Return after how long without a fault no agent remembers one."""
    policy = design.scenario.policy
    remembered_s = max(
        policy.endings_forget_s + policy.block_max_s, 2 * policy.migration_backoff_max_s
    )
    return remembered_s + _MARGIN_S


def why_not(design: Design) -> str:
    """
    Return why a design's cycles can't be drawn one by one; empty: they can.

    The times between faults have to be without memory; how long repairs take may be anything.
    """
    if design.scenario.maintenance:
        return "global maintenance is on from the beginning"
    for fault in design.faults:
        if fault.every_s is not None:
            return f"the fault '{fault.name}' comes at fixed times"
        if not isinstance(fault.mtbf, Exponential):
            kind = type(fault.mtbf).__name__.lower()
            said = {"observed": "observed in a CSV file"}.get(kind, kind)
            return f"the times between faults '{fault.name}' have a memory ({said})"
    shape = shape_of(design)
    if not shape.places:
        return "no host may have the engine at the beginning"
    longest_s = max(
        (0.0 if unit.fault.repair is None else unit.fault.repair.mean_s) for unit in shape.units
    )
    busy = -math.expm1(-shape.rate * (longest_s + shape.settle_s))
    if busy > BUSY_MAX:
        return f"faults come so often that {busy:.0%} of them find another one not yet forgotten"
    return ""
