"""A campaign that is played until its unavailability is known as precisely as was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Callable, Final

import attrs

from he_fsm.campaign.cycles.play import Draw, Episode
from he_fsm.campaign.cycles.precision import CYCLES, PLAIN
from he_fsm.campaign.cycles.results import result_of
from he_fsm.campaign.cycles.shape import shape_of, why_not
from he_fsm.campaign.cycles.steer import Cycles, NoCyclesError, precise
from he_fsm.campaign.model import Campaign
from he_fsm.campaign.results import CampaignResult, Precision
from he_fsm.campaign.run import Here, Player, run_campaign
from he_fsm.campaign.store import Results
from he_fsm.errors import CampaignError

# So few episodes take less time than other processes to begin.
_HERE_MAX: Final = 600
# Plain runs to begin with, by how much more each time, and where it ends.
_RUNS: Final = 20
_GROWTH: Final = 1.5
_RUNS_MAX: Final = 1_000_000

# Takes how far it is, 0 to 1.
Show = Callable[[float], None]


def run_precisely(campaign: Campaign, player: Player, show: Show) -> CampaignResult:
    """
    Play episodes, or plain runs where the faults ask for these, until the precision is reached.

    Ctrl-C ends it with what is known by then, if that is anything.

    Raises:
        CampaignError: the player failed; or cycles were asked for, and there are none.
    """
    why = next(filter(None, map(why_not, campaign.designs)), "")
    if campaign.estimator == PLAIN:
        return _plainly(campaign, player, show, "")
    if not why:
        try:
            return _by_cycles(campaign, player, show)
        except NoCyclesError as error:
            why = str(error)
    if campaign.estimator == CYCLES:
        msg = f"estimator: cycles: {why}; 'plain' can be had"
        raise CampaignError(msg)
    return _plainly(campaign, player, show, why)


def _by_cycles(campaign: Campaign, player: Player, show: Show) -> CampaignResult:
    designs = [Cycles(shape_of(design), campaign.seed) for design in campaign.designs]

    def plays(draws: Sequence[Draw]) -> Iterator[Sequence[Episode]]:
        few = sum(len(each.numbers) for each in draws) <= _HERE_MAX
        return (Here() if few else player).play(draws)

    precision = 0.0 if campaign.precision is None else campaign.precision
    try:
        was_reached = precise(designs, precision, campaign.confidence, plays, show)
    except KeyboardInterrupt:
        if not all(each.is_known for each in designs):
            raise
        was_reached = False
    return result_of(campaign, designs, was_reached=was_reached)


def _plainly(campaign: Campaign, player: Player, show: Show, why: str) -> CampaignResult:
    from he_fsm.campaign.statistics import summarise  # noqa: PLC0415 - scipy.stats takes a second

    precision = 0.0 if campaign.precision is None else campaign.precision
    known, runs, far = Results(), _RUNS, float("inf")
    result = None
    try:
        while far > 1 and runs < _RUNS_MAX:
            asked = attrs.evolve(campaign, runs=runs)
            for _ in run_campaign(asked, player, known):
                pass
            result = summarise(asked, known.of(asked))
            far = max(_far(result, i, precision) for i in range(len(result.variations)))
            show(min(1.0, 1 / far**2) if far else 1.0)
            runs = round(runs * _GROWTH)
    except KeyboardInterrupt:
        if result is None:
            raise
    if result is None:
        msg = "nothing was played"
        raise CampaignError(msg)
    said = Precision(asked=precision, was_reached=far <= 1, why_plain=why)
    return attrs.evolve(result, precision=said)


def _far(result: CampaignResult, index: int, precision: float) -> float:
    """Return how many times as wide the interval of a variation is as it should be."""
    down = result.variations[index].downtime_s_a_year
    if down.low is None or down.high is None or not down.value:
        return float("inf")
    return (down.high - down.low) / 2 / (precision * down.value)
