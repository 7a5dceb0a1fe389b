"""A campaign as values: the designs that are compared, and how they are played."""

from __future__ import annotations

import hashlib
from typing import Final, Optional

import attrs

from he_fsm.campaign.aim import Aim
from he_fsm.campaign.cycles.precision import AUTO
from he_fsm.campaign.faults import Fault
from he_fsm.campaign.results import YEAR_S, Variation
from he_fsm.scenario.model import NOWHERE, Scenario

RUNS: Final = 100
CONFIDENCE: Final = 0.95
NEEDLESS_WITHIN_S: Final = 600.0


@attrs.frozen(kw_only=True)
class Design:
    """
    One variation, ready to be played: a cluster without its timeline, and its faults.

    `needless_within_s`: a move counts as needless if, so long after it, no fault is in progress on
    the host that the engine left.
    """

    variation: Variation
    scenario: Scenario
    faults: tuple[Fault, ...]
    horizon_s: float
    needless_within_s: float = NEEDLESS_WITHIN_S

    @property
    def strikes_about(self) -> float:
        """The average number of faults of a run, which determines how long it takes to play."""
        return sum(fault.strikes_about(self.horizon_s) for fault in self.faults)

    @property
    def fingerprint(self) -> str:
        """A hash of everything that affects how the design plays, wherever it is written."""
        scenario = attrs.evolve(self.scenario, name="", about="", place=NOWHERE)
        played = repr((scenario, self.faults, self.horizon_s, self.needless_within_s))
        return hashlib.sha256(played.encode()).hexdigest()[:16]


@attrs.frozen(kw_only=True)
class Campaign:
    """
    A campaign. The runs of each variation have the seeds `seed`, `seed` + 1 and so on.

    `precision`: half of the interval's width that is wanted, as a part of the unavailability; None:
    as many runs as are said. `estimator`: how that is found (`cycles.precision`).
    `confidence`: the level of the intervals. A difference is real if its probability by chance is
    below 1 - `confidence`.
    """

    name: str
    about: str = ""
    runs: int = RUNS
    horizon_s: float = YEAR_S
    seed: int = 1
    confidence: float = CONFIDENCE
    precision: Optional[float] = None
    estimator: str = AUTO
    designs: tuple[Design, ...]
    aim: Optional[Aim] = None

    @property
    def seeds(self) -> range:
        """The seeds of each variation's runs."""
        return range(self.seed, self.seed + self.runs)
