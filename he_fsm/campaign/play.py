"""Playing one run: its scenario in the simulator, and what of its outcome a campaign counts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, Optional

from he_fsm.campaign.draw import Strike, draw_strikes, scenario_of, strikes_engine
from he_fsm.campaign.model import Design
from he_fsm.campaign.results import NO_FAULT, Outage, RunResult
from he_fsm.document.units import TOLERANCE
from he_fsm.report.outcome import Outcome
from he_fsm.simulate import simulate

_DIGITS: Final = 3


def play(design: Design, seed: int) -> RunResult:
    """Play the run of a seed."""
    strikes = draw_strikes(design.faults, seed, design.horizon_s)
    outcome = simulate(scenario_of(design, seed, strikes))
    return result_of(outcome, design, strikes)


def result_of(outcome: Outcome, design: Design, strikes: tuple[Strike, ...]) -> RunResult:
    """Give what a campaign counts of an outcome, knowing the faults that it came from."""
    totals = outcome.totals
    return RunResult(
        variation=design.variation.name,
        seed=outcome.seed,
        horizon_s=design.horizon_s,
        outages=tuple(_outages(outcome, strikes)),
        starts=totals["starts"],
        failed_starts=totals["failed_starts"],
        migrations=totals["migrations"],
        failed_migrations=totals["failed_migrations"],
        needless_moves=_needless_moves(outcome, strikes, design.needless_within_s),
        resets=totals["resets"],
        broken_rules=tuple(failure.expected for failure in outcome.failures),
    )


def _outages(outcome: Outcome, strikes: tuple[Strike, ...]) -> Iterator[Outage]:
    health = [change for change in outcome.changes if change.kind == "health"]
    engine = [change for change in outcome.changes if change.kind == "engine"]
    began = [change.t for change in engine]
    for index, bad in enumerate(health):
        if bad.word != "bad":
            continue
        is_open = index + 1 == len(health)
        end_s = outcome.scenario.until if is_open else health[index + 1].t
        # A migration that switches over is bad for no time at all.
        if end_s > bad.t:
            before = bisect_left(began, bad.t)
            host = engine[before - 1].host if before else outcome.scenario.engine.running_on
            yield Outage(
                start_s=round(bad.t, _DIGITS),
                length_s=round(end_s - bad.t, _DIGITS),
                cause=_cause(bad.t, host, strikes),
                is_open=is_open,
            )


def _cause(t: float, host: Optional[str], strikes: tuple[Strike, ...]) -> str:
    """
    Give the fault that an outage is put down to.

    It is the last that struck the engine, or the host that the engine was on, and is in progress;
    else the last that is in progress anywhere.
    """
    lasting = [
        strike
        for strike in strikes
        if strike.start_s <= t + TOLERANCE and strike.end_s >= t - TOLERANCE
    ]
    near = [strike for strike in lasting if strikes_engine(strike, host)]
    found = near or lasting
    return found[-1].fault if found else NO_FAULT


def _needless_moves(outcome: Outcome, strikes: tuple[Strike, ...], within_s: float) -> int:
    """Count the moves away from a host on which no fault is in progress a while later."""
    moves = [
        event
        for event in outcome.events
        if event.kind == "migration" and event.details.get("done") is True
    ]
    return sum(not _has_reason(move.t, move.host, strikes, within_s) for move in moves)


def _has_reason(
    t: float, host: Optional[str], strikes: tuple[Strike, ...], within_s: float
) -> bool:
    return any(
        host in strike.hosts and strike.start_s <= t and strike.end_s >= t + within_s
        for strike in strikes
    )
