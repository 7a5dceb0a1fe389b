"""What happened in no run of a campaign: how rare it then is, and how many runs would show it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import attrs

from he_fsm.campaign.model import Campaign
from he_fsm.campaign.results import CampaignResult, VariationResult
from he_fsm.words import several, span_text

_YEAR_S = 365 * 86_400.0


@attrs.frozen
class Unseen:
    """
    An event that no run had.

    `years`: the cluster-years without it. `at_most`: with the campaign's confidence it happens
    less often than so many times in them. `runs`: how many runs would show it with the same
    confidence, where the faults say how often they strike; 0: not known.
    """

    event: str
    years: float
    at_most: float
    confidence: float
    runs: int = 0

    @property
    def text(self) -> str:
        """The fact as a sentence."""
        bound = f"{self.at_most:.2g} in {span_text(self.years * _YEAR_S)}"
        said = f"no run had {self.event}: rarer than {bound} at {100 * self.confidence:.4g} %"
        return f"{said}; about {several(self.runs, 'run')} would show it" if self.runs else said


def unseen(campaign: Campaign, result: CampaignResult) -> tuple[Unseen, ...]:
    """Return the events that no run had: outages, and those due to each cause."""
    without = [each for each in result.variations if not each.outage_lengths.count]
    return (*_of_causes(campaign, result), *_of_outages(without, result))


def _of_outages(without: list[VariationResult], result: CampaignResult) -> Iterator[Unseen]:
    for each in without:
        where = "" if len(result.variations) == 1 else f" with {each.variation.name}"
        yield _unseen(f"an outage{where}", each.years, result.confidence)


def _of_causes(campaign: Campaign, result: CampaignResult) -> Iterator[Unseen]:
    """Yield the causes that had no outage in any run; runs of one seed share their faults."""
    if not result.variations or all(not each.outage_lengths.count for each in result.variations):
        return
    years = max(each.years for each in result.variations)
    for name in result.variations[0].downtime_by_cause:
        if any(each.downtime_by_cause[name].value for each in result.variations):
            continue
        yield _unseen(
            f"an outage due to '{name}'",
            years,
            result.confidence,
            _runs_that_show(campaign, name, result),
        )


def _unseen(event: str, years: float, confidence: float, runs: int = 0) -> Unseen:
    # Without an event in n years its rate is below -ln(1 - c) / n: at 95 %, the rule of three.
    return Unseen(event, years, -math.log(1 - confidence), confidence, runs)


def _runs_that_show(campaign: Campaign, name: str, result: CampaignResult) -> int:
    """Return in how many runs a fault strikes with the confidence; 0: it should have struck."""
    design = campaign.designs[0]
    a_run = sum(
        fault.strikes_about(design.horizon_s) for fault in design.faults if fault.name == name
    )
    needed = -math.log(1 - result.confidence)
    if not a_run or a_run * len(result.variations[0].runs) >= needed:
        return 0
    return math.ceil(needed / a_run)
