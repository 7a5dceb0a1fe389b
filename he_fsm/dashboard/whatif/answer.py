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

    `asked`: how many runs were asked for; fewer were made if the time was over. `outcomes`: what a
    forecast needs of each. `runs`: each in short. `shown`: the run whose timeline is drawn.
    """

    asked: int
    outcomes: tuple[Outcome, ...]
    runs: tuple[dict[str, Any], ...]
    shown: Outcome

    def as_json(self) -> dict[str, Any]:
        """Return the answer as a plain object; times are in seconds."""
        forecast = forecast_of(self.shown.scenario.name, self.outcomes)
        return {
            "asked": self.asked,
            "sentence": forecast.answer(),
            "forecast": forecast.as_json(),
            "passed": all(each["passed"] for each in self.runs),
            "expects": bool(self.shown.scenario.expect),
            "runs": list(self.runs),
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
    runs: list[dict[str, Any]] = []
    shown: Optional[Outcome] = None
    for seed in seeds:
        if shown is not None and not goes_on():
            break
        outcome = simulate(scenario, seed=seed)
        runs.append(_in_short(outcome))
        outcomes.append(_for_forecast(outcome))
        if shown is None or _tells_more(outcome, shown, show):
            shown = outcome
    if shown is None:
        msg = "no seeds"
        raise ValueError(msg)
    return Answer(asked=len(seeds), outcomes=tuple(outcomes), runs=tuple(runs), shown=shown)


def _tells_more(outcome: Outcome, shown: Outcome, show: Optional[int]) -> bool:
    """Return whether a run is shown in place of an earlier one."""
    if show in (outcome.seed, shown.seed):
        return outcome.seed == show
    if not (outcome.passed and shown.passed):
        return shown.passed
    return float(outcome.totals["downtime"]) > float(shown.totals["downtime"])


def _for_forecast(outcome: Outcome) -> Outcome:
    """
    Return an outcome with what a forecast needs of it: fifty whole ones would fill the memory.

    Expectations are left out: a forecast asks whether the engine comes back, and safely.
    """
    rules = tuple(each for each in outcome.failures if each.expected.startswith(_RULE))
    states = tuple(each for each in outcome.events if each.kind == "state")
    leases = tuple(each for each in outcome.changes if each.kind == "lease")
    return attrs.evolve(outcome, failures=rules, events=states, changes=leases)


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
