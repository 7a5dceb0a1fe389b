"""One run: its scenario in the simulator, and the counts of its outcome."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final, Optional

import attrs

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
    """Return the counts and outages of an outcome, attributed to the faults that caused it."""
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


@attrs.define
class Lasting:
    """The strikes in progress at a time; times must not go back."""

    # Sorted by their start.
    strikes: tuple[Strike, ...]
    _next: int = 0
    _now: list[Strike] = attrs.field(factory=list)

    def at(self, t: float) -> list[Strike]:
        """Return the strikes in progress at a time, in the order of their start."""
        while self._next < len(self.strikes) and self.strikes[self._next].start_s <= t + TOLERANCE:
            self._now.append(self.strikes[self._next])
            self._next += 1
        self._now = [strike for strike in self._now if strike.end_s >= t - TOLERANCE]
        return self._now


def _outages(outcome: Outcome, strikes: tuple[Strike, ...]) -> Iterator[Outage]:
    health = [change for change in outcome.changes if change.kind == "health"]
    engine = [change for change in outcome.changes if change.kind == "engine"]
    began = [change.t for change in engine]
    lasting = Lasting(strikes)
    for index, bad in enumerate(health):
        if bad.word != "bad":
            continue
        is_open = index + 1 == len(health)
        end_s = outcome.scenario.until if is_open else health[index + 1].t
        # The outage of a migration that switches over has length 0.
        if end_s > bad.t:
            before = bisect_left(began, bad.t)
            host = engine[before - 1].host if before else outcome.scenario.engine.running_on
            yield Outage(
                start_s=round(bad.t, _DIGITS),
                length_s=round(end_s - bad.t, _DIGITS),
                cause=_cause(lasting.at(bad.t), host),
                is_open=is_open,
            )


def _cause(lasting: Sequence[Strike], host: Optional[str]) -> str:
    """
    Return the fault to which an outage is attributed.

    Of the faults in progress, it is the last that struck the engine or the engine's host, or else
    the last one anywhere.
    """
    near = [strike for strike in lasting if strikes_engine(strike, host)]
    found = near or lasting
    return found[-1].fault if found else NO_FAULT


def _needless_moves(outcome: Outcome, strikes: tuple[Strike, ...], within_s: float) -> int:
    """Count the moves away from a host that has no fault in progress *within_s* later."""
    lasting = Lasting(strikes)
    moves = [
        event
        for event in outcome.events
        if event.kind == "migration" and event.details.get("done") is True
    ]
    return sum(
        not any(
            move.host in strike.hosts and strike.end_s >= move.t + within_s
            for strike in lasting.at(move.t)
        )
        for move in moves
    )
