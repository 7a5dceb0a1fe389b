"""What a question about the live cluster comes to: many runs of the simulator, one answer."""

from __future__ import annotations

from collections.abc import Callable

from he_fsm.live.forecast import Forecast, forecast_of
from he_fsm.scenario import Scenario
from he_fsm.simulate import simulate


def predict(
    question: str, scenario: Scenario, seeds: int, show: Callable[[float], None] = lambda _: None
) -> Forecast:
    """
    Return what becomes of a scenario in so many runs, each with other phases.

    Args:
        question: what is asked, in words.
        scenario: begins with the live cluster (`he_fsm.live.seen`).
        seeds: how many runs; their seeds are 1 and up.
        show: told after each run how much is done, from 0 to 1.
    """
    runs = []
    for seed in range(1, seeds + 1):
        runs.append(simulate(scenario, seed=seed))
        show(seed / seeds)
    return forecast_of(question, runs)
