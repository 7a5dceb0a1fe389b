"""What the simulator answers: some runs of a scenario, summed up as `he-fsm what-if` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Optional

import attrs

from he_fsm.dashboard.whatif.picture import run_picture, spells
from he_fsm.live.forecast import forecast_of
from he_fsm.report.outcome import Outcome, host_key
from he_fsm.scenario import Scenario
from he_fsm.simulate import simulate

# How failures of the rules that always hold begin; all others are expectations of the file.
_RULE: Final = "rule "


@attrs.frozen(kw_only=True)
class Answer:
    """
    What the runs of one scenario come to; there is one run at least.

    `asked`: how many runs were asked for; fewer were made if the time was over. `shown`: the run
    of which the page draws the timeline.
    """

    asked: int
    outcomes: tuple[Outcome, ...]
    shown: Outcome

    def as_json(self) -> dict[str, Any]:
        """Return the answer as a plain object; times are in seconds."""
        forecast = forecast_of(self.shown.scenario.name, list(map(_by_rules_alone, self.outcomes)))
        return {
            "asked": self.asked,
            "sentence": forecast.answer(),
            "forecast": forecast.as_json(),
            "passed": all(each.passed for each in self.outcomes),
            "expects": bool(self.shown.scenario.expect),
            "runs": [_in_short(each) for each in self.outcomes],
            "shown": run_picture(self.shown),
        }


def answer(
    scenario: Scenario,
    seeds: Sequence[int],
    *,
    show: Optional[int] = None,
    goes_on: Callable[[], bool] = lambda: True,
) -> Answer:
    """
    Run a scenario with each of some seeds.

    Args:
        seeds: one at least; the first of them is always run.
        show: the seed of the run whose timeline is wanted; None: the first that failed, else the
            one with the longest downtime.
        goes_on: is asked before each further run; False ends the answer with the runs so far.
    """
    outcomes: list[Outcome] = []
    for seed in seeds:
        if outcomes and not goes_on():
            break
        outcomes.append(simulate(scenario, seed=seed))
    wanted = next((each for each in outcomes if each.seed == show), None)
    return Answer(
        asked=len(seeds), outcomes=tuple(outcomes), shown=wanted or _most_telling(outcomes)
    )


def _most_telling(outcomes: Sequence[Outcome]) -> Outcome:
    failed = next((each for each in outcomes if not each.passed), None)
    return failed or max(outcomes, key=lambda each: float(each.totals["downtime"]))


def _by_rules_alone(outcome: Outcome) -> Outcome:
    """Return an outcome without its expectations: a forecast asks for the engine and its safety."""
    rules = tuple(each for each in outcome.failures if each.expected.startswith(_RULE))
    return attrs.evolve(outcome, failures=rules)


def _in_short(outcome: Outcome) -> dict[str, Any]:
    return {
        "seed": outcome.seed,
        "passed": outcome.passed,
        "engine": outcome.engine,
        "engine_on": host_key(outcome.engine_on),
        "downtime": outcome.totals["downtime"],
        "longest_outage": outcome.totals["longest_outage"],
        "spells": spells(outcome),
    }
