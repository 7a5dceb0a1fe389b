"""
The random faults of one run, and the ordinary scenario that they make.

Each fault on each host has a random generator of its own, seeded with the run's seed and their
names. So another policy, another world or one more host does not change the other faults, and
variations are compared under the same bad luck.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any, Optional

import attrs

from he_fsm.campaign.faults import OF_ENGINE, Cause, Deed, Fault
from he_fsm.campaign.incidents import join
from he_fsm.campaign.model import Design
from he_fsm.campaign.spans import DIGITS
from he_fsm.scenario.model import Host, Scenario, TimelineEntry, Verb

Stretch = tuple[float, float]


@attrs.frozen
class Strike:
    """
    One fault of a run, from `start_s` to `end_s`.

    `hosts`: the hosts that it strikes; empty: the engine, wherever it is. A fault that is over at
    once, or that the agents or systemd end, has equal start and end.
    """

    fault: str
    cause: Cause
    hosts: tuple[str, ...]
    start_s: float
    end_s: float


def draw_strikes(faults: Iterable[Fault], seed: int, horizon_s: float) -> tuple[Strike, ...]:
    """Draw all faults that begin before the horizon, in the order of time."""
    strikes = [
        Strike(fault.name, fault.cause, hosts, start, end)
        for fault in faults
        for index, (unit, hosts) in enumerate(fault.units)
        for start, end in _stretches(fault, index, f"{seed}/{fault.name}/{unit}", horizon_s)
    ]
    return tuple(sorted(strikes, key=lambda strike: strike.start_s))


def _stretches(fault: Fault, index: int, seed: str, horizon_s: float) -> Iterator[Stretch]:
    if fault.every_s is not None and fault.lasts_s is not None:
        return _windows(fault.every_s, fault.lasts_s, fault.at_s, index, horizon_s)
    return _renewals(fault, seed, horizon_s)


def _windows(
    every_s: float, lasts_s: float, at_s: Optional[float], index: int, horizon_s: float
) -> Iterator[Stretch]:
    """Return the windows of the host that is number *index* in each round."""
    start = (every_s if at_s is None else at_s) + index * lasts_s
    while start < horizon_s:
        yield start, start + lasts_s
        start += every_s


def _renewals(fault: Fault, seed: str, horizon_s: float) -> Iterator[Stretch]:
    """Yield failures and repairs in turn; each kind has its own draws, so one can be varied."""
    if fault.mtbf is None:
        return
    between = random.Random(f"{seed}/mtbf")  # noqa: S311 - a simulation
    repairs = random.Random(f"{seed}/repair")  # noqa: S311
    start = fault.mtbf.draw(between)
    while start < horizon_s:
        end = start if fault.repair is None else round(start + fault.repair.draw(repairs), DIGITS)
        yield start, end
        start = round(end + fault.mtbf.draw(between), DIGITS)


def scenario_of(
    design: Design, seed: int, strikes: Optional[tuple[Strike, ...]] = None
) -> Scenario:
    """
    Return the scenario of the run with a seed.

    Args:
        design: the variation.
        seed: the run's seed, also for the phases of its loops and renewals.
        strikes: the run's faults, if they are drawn already.
    """
    drawn = draw_strikes(design.faults, seed, design.horizon_s) if strikes is None else strikes
    return attrs.evolve(
        design.scenario, seed=seed, until=design.horizon_s, timeline=_timeline(design, drawn)
    )


# A verb, the value that begins the fault, and the host (None: the engine).
_Struck = tuple[Verb, str, Optional[str]]


def _timeline(design: Design, strikes: tuple[Strike, ...]) -> tuple[TimelineEntry, ...]:
    """
    Return strikes as entries of a timeline, in the order of time.

    If two faults have the same effect on one host, like a crash and the loss of its rack's power,
    the effect ends when both faults have ended.
    """
    deed_of = {fault.name: fault.deed for fault in design.faults}
    stretches: dict[_Struck, list[Stretch]] = {}
    deeds: dict[_Struck, Deed] = {}
    for strike in strikes:
        deed = deed_of[strike.fault]
        for name in strike.hosts or (None,):
            struck = deed.verb, repr(deed.begins), name
            stretches.setdefault(struck, []).append((strike.start_s, strike.end_s))
            deeds[struck] = deed
    moments: dict[tuple[float, str, Verb], tuple[Any, list[str]]] = {}
    for struck, found in stretches.items():
        host_name, deed = struck[2], deeds[struck]
        host = None if host_name is None else design.scenario.host(host_name)
        for at, value in _changes(deed, host, join(found), design.horizon_s):
            _, names = moments.setdefault((at, repr(value), deed.verb), (value, []))
            names.extend([] if host is None else [host.name])
    return tuple(
        TimelineEntry(at=at, hosts=tuple(names), verb=verb, value=value)
        for (at, _, verb), (value, names) in sorted(
            moments.items(), key=lambda item: (item[0][0], item[0][2].value, item[0][1])
        )
    )


def _changes(
    deed: Deed, host: Optional[Host], stretches: list[Stretch], horizon_s: float
) -> Iterator[tuple[float, Any]]:
    ends = deed.ends_on(host)
    for start, end in stretches:
        yield start, deed.begins
        if ends is not None and start < end < horizon_s:
            yield end, ends


def strikes_engine(strike: Strike, host: Optional[str]) -> bool:
    """Return whether a strike concerns the engine while it is on *host*."""
    return strike.cause in OF_ENGINE or host in strike.hosts
