"""Playing as many episodes of each cell as a precision takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Callable, Final, Protocol

import attrs

from he_fsm.campaign.cycles.episodes import Cell, all_struck_s, cells_of, draw
from he_fsm.campaign.cycles.estimate import Errors, Means, errors_of, means_of, parts_of
from he_fsm.campaign.cycles.play import Draw, Episode
from he_fsm.campaign.cycles.shape import Shape

# Episodes of each cell before it is known how they differ.
PILOT: Final = 6
# A round plays at most so many times what has been played before: how episodes differ is known
# better then.
_GROWTH: Final = 2.0
# A little more than what is reckoned is needed spares a round for a few episodes.
_SPARE: Final = 1.1
_EPISODES_MAX: Final = 2_000_000
_BATCH: Final = 16
# Episodes of each cell that are drawn, and not played, to see when faults strike all hosts.
_DRAWN: Final = 100


class NoCyclesError(Exception):
    """Cycles can't be told from each other; the message says why."""


class Plays(Protocol):
    """Plays episodes, in any order."""

    def __call__(self, draws: Sequence[Draw]) -> Iterator[Sequence[Episode]]:
        """Yield episodes as they are done."""


@attrs.define
class Cycles:
    """The episodes of one design so far."""

    shape: Shape
    seed: int
    played: dict[Cell, list[Episode]] = attrs.field(factory=dict)
    probability: dict[Cell, float] = attrs.field(factory=dict)
    # By cell: how much episodes might differ, for all that a few of them show.
    doubts: dict[Cell, float] = attrs.field(factory=dict)
    # How many times as often as another each cell is played, as the pilot has shown.
    shares: dict[Cell, float] = attrs.field(factory=dict)

    def begin(self) -> dict[Cell, int]:
        """Return how many episodes of each cell are needed to begin with."""
        runs_on = self.shape.place_of(self.shape.design.scenario.engine.running_on)
        return self._reach(0 if runs_on is None else runs_on)

    def _reach(self, place: int) -> dict[Cell, int]:
        found = cells_of(self.shape, place)
        self.probability.update(found)
        self.doubts.update({cell: self._doubt(cell) for cell in found})
        return dict.fromkeys(found, PILOT)

    def _doubt(self, cell: Cell) -> float:
        """
        Return how episodes of a cell differ by the times in which no host is without a fault.

        A few episodes may show nothing of what is rare and long. When all hosts are struck is known
        without playing, and says in which cells to look for it.
        """
        hosts = [name for names in self.shape.places for name in names]
        drawn = [draw(self.shape, cell, f"{self.seed}/{cell}/doubt/{i}") for i in range(_DRAWN)]
        squares = [(each.weight * all_struck_s(each.strikes, hosts)) ** 2 for each in drawn]
        return math.sqrt(math.fsum(squares) / len(squares))

    def newly_reached(self) -> dict[Cell, int]:
        """Return the same for classes of hosts to which the engine has moved."""
        known = {cell.place for cell in self.probability}
        ends = {each.ends_at for found in self.played.values() for each in found if each.weight}
        wanted: dict[Cell, int] = {}
        for place in sorted(each for each in ends if each is not None and each not in known):
            wanted.update(self._reach(place))
        return wanted

    def take(self, episodes: Sequence[Episode]) -> None:
        """
        Take episodes that were played.

        Raises:
            NoCyclesError: the engine was not well at the end of one.
        """
        for each in episodes:
            if each.ends_at is None and each.weight:
                hours = self.shape.settle_s / 3600
                msg = f"the engine was not well {hours:.3g} h after the last fault of an episode"
                raise NoCyclesError(msg)
            self.played.setdefault(each.cell, []).append(each)

    def sort(self) -> None:
        """Put the episodes in their order, whoever played them first."""
        for found in self.played.values():
            found.sort(key=lambda each: each.number)

    @property
    def is_known(self) -> bool:
        """Whether there are episodes of every cell."""
        return bool(self.played) and set(self.played) >= set(self.probability)

    @property
    def means(self) -> Means:
        """Where the engine is, and how long cycles are."""
        return means_of(self.played, self.probability, self.shape.rate, len(self.shape.places))

    @property
    def downtime(self) -> Errors:
        """The unavailability, and how it errs."""
        return errors_of(self.played, self.means, downtime_of)

    def draws(self, wanted: Mapping[Cell, int]) -> list[Draw]:
        """Return what has to be played to have so many episodes of each cell."""
        found = []
        for cell, count in wanted.items():
            first = len(self.played.get(cell, ()))
            for start in range(first, count, _BATCH):
                numbers = tuple(range(start, min(start + _BATCH, count)))
                found.append(Draw(self.shape, cell, numbers, self.seed))
        return found

    @property
    def doubtful(self) -> Errors:
        """The unavailability, and how it might err at worst: by doubts, where these are larger."""
        return self._with_doubts(max)

    @property
    def shown(self) -> Errors:
        """
        The unavailability, and how it errs, for its interval.

        Where a doubt is larger than what the episodes show, both say something of how they differ:
        their mean square counts. With the larger one alone intervals hold the truth too often, and
        with what is shown alone too seldom (measured: `tests/campaign/cycles`).
        """
        return self._with_doubts(lambda one, other: max(one, math.hypot(one, other) / math.sqrt(2)))

    def _with_doubts(self, both: Callable[[float, float], float]) -> Errors:
        errors, means = self.downtime, self.means
        spread = {}
        for cell, each in errors.spread.items():
            share = means.pi[cell.place] * self.probability[cell] / means.cycle_s
            spread[cell] = both(each, share * self.doubts[cell])
        return attrs.evolve(errors, spread=spread)

    def parts(self) -> dict[Cell, list[float]]:
        """Return what each episode adds to the unavailability, by cell and in their order."""
        means = self.means
        return parts_of(self.played, means, downtime_of)

    @property
    def count(self) -> int:
        """How many episodes have been played."""
        return sum(map(len, self.played.values()))


def downtime_of(episode: Episode) -> float:
    """Return the seconds without a good health page."""
    return episode.run.downtime_s


def precise(
    designs: Sequence[Cycles],
    precision: float,
    confidence: float,
    plays: Plays,
    show: Callable[[float], None],
) -> bool:
    """
    Play until each design's unavailability is known to a fraction of itself.

    Cells that several designs have are played as often in each, so that their episodes are pairs.

    Args:
        precision: half of the interval's width, as a fraction of the unavailability.
        show: called with how far it is, 0 to 1.

    Returns:
        Whether the precision was reached; False: there is no downtime at all, or too much to play.

    Raises:
        NoCyclesError: see `Cycles.take`.
    """
    wanted = _most([each.begin() for each in designs])
    while wanted:
        _play(designs, wanted, plays)
        wanted = _most([each.newly_reached() for each in designs])
    for each in designs:
        each.shares = dict(each.doubtful.spread)
    while True:
        if any(not each.downtime.value for each in designs):
            return False
        errors = [each.doubtful for each in designs]
        left = [each.half_width(confidence) / (precision * each.value) for each in errors]
        show(min(1.0, 1 / max(left) ** 2) if max(left) > 0 else 1.0)
        if max(left) <= 1:
            return True
        if sum(each.count for each in designs) > _EPISODES_MAX:
            return False
        _play(designs, _most([_needed(*each) for each in zip(designs, errors, left)]), plays)


def _play(designs: Sequence[Cycles], wanted: Mapping[Cell, int], plays: Plays) -> None:
    for each in designs:
        own = {cell: count for cell, count in wanted.items() if cell in each.probability}
        for episodes in plays(each.draws(own)):
            each.take(episodes)
        each.sort()


def _most(wanted: Sequence[Mapping[Cell, int]]) -> dict[Cell, int]:
    most: dict[Cell, int] = {}
    for each in wanted:
        for cell, count in each.items():
            most[cell] = max(count, most.get(cell, 0))
    return most


def _needed(cycles: Cycles, errors: Errors, far: float) -> dict[Cell, int]:
    """
    Return how many episodes of each cell the precision takes, in proportion to their first spreads.

    The proportions stay as they are: whoever plays a cell more often because its episodes have
    turned out to be bad, and leaves it where they have turned out well, finds too little downtime.
    *far*: how many times as wide the interval is as it should be.
    """
    if far <= 1:
        return {}
    spread = cycles.shares
    whole, played = math.fsum(spread.values()), sum(errors.counts.values())
    one = whole * math.fsum(s**2 / (spread[cell] or s) for cell, s in errors.spread.items() if s)
    total = min(_SPARE * one * far**2 / errors.variance, played * (1 + _GROWTH))
    found = {cell: math.ceil(total * each / whole) for cell, each in spread.items()}
    found = {cell: count for cell, count in found.items() if count > errors.counts[cell]}
    if not found:
        widest = max(spread, key=lambda cell: spread[cell])
        found[widest] = errors.counts[widest] + PILOT
    return found
