"""
What a campaign showed: each run, and for each variation what its runs say together.

These are plain values: whoever draws, prints or stores results needs this module alone. Times are
in seconds; a year has 365 days, as in the scenario language.
"""

from __future__ import annotations

import functools
import heapq
import math
from collections.abc import Iterator
from typing import Any, Optional

import attrs
import cattrs

from he_fsm.document.units import SECONDS_IN
from he_fsm.report.html import as_html

YEAR_S = SECONDS_IN["y"]
# The cause of an outage that began while no fault was in progress.
NO_FAULT = "no fault"


@attrs.frozen(kw_only=True)
class Outage:
    """
    One stretch without a good health page of the engine.

    `start_s`: since the run began. `cause`: the name of the fault that it is put down to, or
    `NO_FAULT`. `is_open`: it lasted when the run ended, so `length_s` is only what was seen of it.
    """

    start_s: float
    length_s: float
    cause: str
    is_open: bool = False


@attrs.frozen(kw_only=True)
class RunResult:
    """
    One run of one variation. A run is known by its variation's name and its seed.

    `needless_moves`: those of the `migrations` that left a host on which no fault was in progress
    a while later (the campaign's `needless_within`). `broken_rules`: rules of the scenario language
    that did not hold, `two-engines` among them; empty, unless he_fsm has a fault.
    """

    variation: str
    seed: int
    horizon_s: float
    outages: tuple[Outage, ...] = ()
    starts: int = 0
    failed_starts: int = 0
    migrations: int = 0
    failed_migrations: int = 0
    needless_moves: int = 0
    resets: int = 0
    broken_rules: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, int]:
        """What the run is known by: no two of one campaign share it."""
        return self.variation, self.seed

    @property
    def downtime_s(self) -> float:
        """The seconds of all outages."""
        return math.fsum(outage.length_s for outage in self.outages)

    @property
    def availability(self) -> float:
        """The fraction of the run in which the engine's health page was good, 0 to 1."""
        return 1.0 - self.downtime_s / self.horizon_s

    @property
    def longest_outage_s(self) -> float:
        """The longest outage, 0 where there was none."""
        return max((outage.length_s for outage in self.outages), default=0.0)

    @property
    def downtime_by_cause(self) -> dict[str, float]:
        """The seconds of outage of each cause that had one."""
        lengths: dict[str, list[float]] = {}
        for outage in self.outages:
            lengths.setdefault(outage.cause, []).append(outage.length_s)
        return {cause: math.fsum(each) for cause, each in lengths.items()}


@attrs.frozen(kw_only=True)
class Variation:
    """
    One of the designs that are compared.

    `name`: what tables and runs call it: its settings in words, or `as written` where the campaign
    varies nothing. `settings`: the value, as written, of each dotted key that is varied, like
    `policy.migration_threshold`.
    """

    name: str
    settings: dict[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Estimate:
    """
    A mean over runs and the ends of its confidence interval.

    `low`, `high`: None where the runs can't say, because there is one alone, or all are the same.
    """

    value: float
    low: Optional[float] = None
    high: Optional[float] = None


@attrs.frozen(kw_only=True)
class OutageLengths:
    """How long outages were, over all runs of a variation: 0 everywhere where there was none."""

    count: int = 0
    p50_s: float = 0.0
    p99_s: float = 0.0
    longest_s: float = 0.0


@attrs.frozen(kw_only=True)
class Difference:
    """
    By how much a variation's downtime a year is above the best one's, over runs with equal seeds.

    `p_value`: how probable so large a difference is by chance alone, corrected for the number of
    variations that are compared. `is_real`: it is below 1 less the campaign's confidence.
    `visible_s`: the smallest difference that so many episodes show in four of five campaigns
    (seconds a year); None: not computed.
    """

    downtime_s_a_year: Estimate
    p_value: float
    is_real: bool
    visible_s: Optional[float] = None


@attrs.frozen(kw_only=True)
class VariationResult:
    """
    What the runs of one variation say together.

    `downtime_by_cause`: seconds a year, by the name of the fault, the greatest first; each cause of
    the campaign is there. `difference`: None for the best one, and where seeds can't be paired.
    `is_tied`: it shares the least downtime with others, so that none is the best. `rules`: those
    that were broken in episodes, where these were played in place of runs.
    """

    variation: Variation
    runs: tuple[RunResult, ...] = attrs.field(repr=False)
    availability: Estimate
    downtime_s_a_year: Estimate
    downtime_by_cause: dict[str, Estimate]
    outages_a_year: Estimate
    outage_lengths: OutageLengths
    starts_a_year: Estimate
    migrations_a_year: Estimate
    needless_moves_a_year: Estimate
    is_best: bool = False
    is_tied: bool = False
    difference: Optional[Difference] = None
    rules: tuple[str, ...] = ()

    @property
    def outages(self) -> Iterator[Outage]:
        """All outages of all runs, as for a histogram of their lengths."""
        return (outage for run in self.runs for outage in run.outages)

    @property
    def years(self) -> float:
        """How many cluster-years its runs played."""
        return math.fsum(run.horizon_s for run in self.runs) / YEAR_S

    @property
    def broken_rules(self) -> tuple[str, ...]:
        """The rules that did not hold in some run."""
        return tuple(
            sorted({*self.rules, *(each for run in self.runs for each in run.broken_rules)})
        )


@attrs.frozen(kw_only=True)
class Precision:
    """
    How precisely the unavailability was to be known, and how it was found.

    `asked`: half of the interval's width, as a part of the unavailability. `episodes`: how many of
    each variation were played, in the order of the file; empty: plain runs were. `why_plain`: why
    these were played although episodes would have been quicker.
    """

    asked: float
    was_reached: bool
    episodes: tuple[int, ...] = ()
    why_plain: str = ""


@attrs.frozen(kw_only=True)
class CampaignResult:
    """
    What a campaign showed; the variations are in the order of the file.

    `runs`: how many each variation was to have; there are fewer where the campaign was stopped.
    `confidence`: of the intervals, like 0.95. `precision`: where one was asked for; `runs` is 0
    where episodes were played in place of runs.
    """

    name: str
    about: str = ""
    horizon_s: float
    runs: int
    confidence: float
    variations: tuple[VariationResult, ...]
    precision: Optional[Precision] = None

    @property
    def best(self) -> Optional[VariationResult]:
        """The variation with the least downtime; None while nothing has run, and where some tie."""
        return next((each for each in self.variations if each.is_best), None)

    @property
    def tied(self) -> tuple[VariationResult, ...]:
        """The variations that share the least downtime; empty where one alone has it."""
        return tuple(each for each in self.variations if each.is_tied)

    @property
    def is_complete(self) -> bool:
        """Whether every variation had all its runs."""
        return all(len(each.runs) >= self.runs for each in self.variations)

    def worst(self, count: int) -> tuple[RunResult, ...]:
        """Return the runs with the most downtime, over all variations, the worst first."""
        runs = (run for each in self.variations for run in each.runs)
        return tuple(heapq.nsmallest(count, runs, key=lambda run: (-run.downtime_s, run.key)))

    def number_of(self, name: str) -> int:
        """Return the place of a variation in the file, counted from 1."""
        names = [each.variation.name for each in self.variations]
        return names.index(name) + 1

    def scenario_name(self, run: RunResult) -> str:
        """Return what the scenario file of a run is called, without `.yaml`."""
        return f"{self.name}-{self.number_of(run.variation)}-{run.seed}"

    def _repr_html_(self) -> str:
        """Show the result in Jupyter."""
        return as_html(self)

    def to_json(self) -> dict[str, Any]:
        """Return the result as a plain object, as `he-fsm campaign --json` prints it."""
        return dict(_converter().unstructure(self))

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> CampaignResult:
        """
        Read a result back; the same one that `to_json` was asked of.

        Raises:
            cattrs.BaseValidationError: the object is of another form.
        """
        return _converter().structure(plain, cls)


def run_to_json(run: RunResult) -> dict[str, Any]:
    """Return one run as a plain object: a line of a results file."""
    return dict(_converter().unstructure(run))


def run_from_json(plain: dict[str, Any]) -> RunResult:
    """
    Read one run back.

    Raises:
        cattrs.BaseValidationError: the object is of another form.
    """
    return _converter().structure(plain, RunResult)


@functools.cache
def _converter() -> cattrs.Converter:
    return cattrs.Converter()
