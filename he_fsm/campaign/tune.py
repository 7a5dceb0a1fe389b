"""
Proposal of numbers for an aim, by differential evolution (scipy) over what the file varies.

Every point is played with the same seeds, so that the search compares numbers and not luck. The
point that it finds may fit these seeds only, so it is judged on fresh seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Callable, Final

import attrs
import numpy as np
from scipy import optimize

from he_fsm.campaign.aim import MEASURES, Aim
from he_fsm.campaign.model import Campaign, Design
from he_fsm.campaign.reading import Document
from he_fsm.campaign.results import CampaignResult, Estimate, RunResult, Variation
from he_fsm.campaign.run import Player, run_campaign
from he_fsm.campaign.statistics import estimate, paired, summarise
from he_fsm.campaign.store import Results
from he_fsm.campaign.vary import Axis, Point
from he_fsm.document.nodes import flow_text
from he_fsm.errors import ScenarioError

AS_WRITTEN: Final = "as written"
PROPOSED: Final = "proposed"
# Points of one generation for each varied key; scipy requires at least five in all.
_POPULATION: Final = 4
_POPULATION_MIN: Final = 5
# Costs: an invalid point is worse than one that exceeds a limit, which is worse than all others.
_UNUSABLE: Final = 1e18
_MISSED: Final = 1e12

Progress = Callable[[int], None]


@attrs.frozen(kw_only=True)
class Comparison:
    """One measure for a year, on fresh seeds; `p_value`: the probability of the gain by chance."""

    as_written: Estimate
    proposed: Estimate
    gain: Estimate
    p_value: float


@attrs.frozen(kw_only=True)
class Proposal:
    """
    The result of a search, compared with the file's own values.

    `settings`: the proposed value of each dotted key. `tried`: how many different points were
    played. `judged`: both designs on fresh seeds. `measures`: the measures of the aim, by name.
    """

    aim: Aim
    settings: dict[str, str]
    tried: int
    judged: CampaignResult
    measures: dict[str, Comparison]

    @property
    def keeps_limits(self) -> bool:
        """Return whether the proposal's means on the fresh seeds keep within the aim's limits."""
        return all(
            self.measures[name].proposed.value <= limit for name, limit in self.aim.at_most.items()
        )


def tune(  # noqa: PLR0913 - what is searched, for what, by whom and how long
    document: Document,
    campaign: Campaign,
    aim: Aim,
    player: Player,
    *,
    trials: int,
    show: Progress,
) -> Proposal:
    """
    Search for numbers, and judge the result on fresh seeds.

    Args:
        document: the campaign's document; the search is over the keys that it varies.
        campaign: the file's own design, with runs and seeds.
        aim: the aim of the search.
        player: plays the runs.
        trials: about how many points are tried.
        show: called with the number of runs that have ended.

    Raises:
        CampaignError: the player failed.
    """
    search = _Search(document, campaign, aim, player, show)
    size = max(_POPULATION, math.ceil(_POPULATION_MIN / len(document.axes)))
    found = optimize.differential_evolution(
        lambda _: 0.0,
        bounds=[_bounds(axis) for axis in document.axes],
        integrality=[axis.range is None for axis in document.axes],
        popsize=size,
        maxiter=max(1, round(trials / (size * len(document.axes))) - 1),
        # The search ends only when the trials are used up.
        tol=0.0,
        seed=campaign.seed,
        polish=False,
        updating="deferred",
        workers=search.costs,
    )
    point = search.point(found.x)
    proposed = attrs.evolve(document.design(point), variation=Variation(name=PROPOSED))
    written = attrs.evolve(campaign.designs[0], variation=Variation(name=AS_WRITTEN))
    judge = attrs.evolve(campaign, seed=campaign.seed + campaign.runs, designs=(written, proposed))
    runs = search.play(judge)
    settings = {axis.key: flow_text(node) for axis, node in zip(document.axes, point)}
    return Proposal(
        aim=aim,
        settings=settings,
        tried=len(search.known),
        judged=summarise(judge, runs),
        measures={
            name: _comparison(name, runs, campaign.confidence) for name in (aim.least, *aim.at_most)
        },
    )


def _comparison(name: str, runs: Sequence[RunResult], confidence: float) -> Comparison:
    measure = MEASURES[name]
    found = [
        [run for run in runs if run.variation == variation] for variation in (AS_WRITTEN, PROPOSED)
    ]
    gain = paired(found[0], found[1], confidence, measure.a_year)
    as_written, proposed = (
        estimate([measure.a_year(run) for run in each], confidence) for each in found
    )
    more, p_value = gain or (Estimate(value=as_written.value - proposed.value), 1.0)
    return Comparison(as_written=as_written, proposed=proposed, gain=more, p_value=p_value)


def _bounds(axis: Axis) -> tuple[float, float]:
    """Return the bounds of a search coordinate: a fraction of a range, or an index into a list."""
    return (0.0, 1.0) if axis.range is not None else (0.0, len(axis.choices) - 1.0)


@attrs.define
class _Search:
    """Plays points, each once, and computes their costs."""

    document: Document
    campaign: Campaign
    aim: Aim
    player: Player
    show: Progress
    # The cost of each point, by its values as they are written.
    known: dict[tuple[str, ...], float] = attrs.field(factory=dict)
    _played: int = 0

    def costs(self, _function: Any, vectors: Iterable[Any]) -> list[float]:
        """Return the costs of the points of a generation; scipy calls this like `map`."""
        points = [self.point(vector) for vector in vectors]
        designs: dict[tuple[str, ...], Design] = {}
        for point in points:
            key = tuple(map(flow_text, point))
            if key in self.known or key in designs:
                continue
            try:
                design = self.document.design(point)
            except ScenarioError:
                # For example a policy whose numbers are unsafe together.
                self.known[key] = _UNUSABLE
            else:
                designs[key] = attrs.evolve(design, variation=Variation(name=", ".join(key)))
        if designs:
            asked = attrs.evolve(self.campaign, designs=tuple(designs.values()))
            runs = self.play(asked)
            for key, design in designs.items():
                own = [run for run in runs if run.variation == design.variation.name]
                self.known[key] = self._cost(own)
        return [self.known[tuple(map(flow_text, point))] for point in points]

    def point(self, vector: Any) -> Point:
        """Return the values of the varied keys at a vector of the search."""
        return tuple(
            axis.choices[round(float(number))]
            if axis.range is None
            # Rounded to a hundredth of the range: runs can't distinguish more digits.
            else axis.range.at(round(float(number), 2))
            for axis, number in zip(self.document.axes, vector)
        )

    def play(self, asked: Campaign) -> list[RunResult]:
        """Play all runs of some designs."""
        results = Results()
        for count in run_campaign(asked, self.player, results):
            self._played += count
            self.show(self._played)
        return results.of(asked)

    def _cost(self, runs: Sequence[RunResult]) -> float:
        """Return the measure to minimise, or a far higher cost that grows with exceeded limits."""
        excess = 0.0
        for name, limit in self.aim.at_most.items():
            mean = float(np.mean([MEASURES[name].a_year(run) for run in runs]))
            excess += max(0.0, mean - limit) / max(limit, 1.0)
        if excess > 0:
            return _MISSED * (1 + excess)
        return float(np.mean([MEASURES[self.aim.least].a_year(run) for run in runs]))
