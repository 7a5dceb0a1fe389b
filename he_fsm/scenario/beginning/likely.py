"""The readings that explain a score: what a host's monitors are likely to have read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, Final, Optional

import attrs

from he_fsm.policy import Policy
from he_fsm.score import Preference, Score, score
from he_fsm.snapshot import Readings

# The monitors by a scenario's keys, the likeliest cause of a loss first. For each: its reading
# when all is well, and when its whole part of the score is lost.
_READS: Final = {
    "gateway": (1.0, 0.0),
    "bridge": (1.0, 0.0),
    "mem_free": (12367.0, 0.0),
    "cpu_load": (0.05, 1.0),
    "mem_load": (0.10, 1.0),
}
# The monitors that can cost a fraction of their points, the likeliest first.
_SHARES: Final = ("cpu_load", "gateway", "bridge")
_HALVINGS: Final = 60


@attrs.frozen(kw_only=True)
class Likely:
    """
    The simplest explanation of a score.

    `readings`: the known ones, and those that explain the score, by a scenario's keys.
    `failed_starts`: how many still count. `why`: what costs points, in words.
    """

    readings: Mapping[str, float]
    failed_starts: int = 0
    why: str


@attrs.frozen(kw_only=True)
class Rated:
    """A host whose score is known. `known`: the readings that are also known, by name."""

    score: int
    policy: Policy
    known: Mapping[str, float]
    vm_is_here: bool = False
    # As its record says it (`he_fsm.score.PREFERENCE`).
    preference: Preference = 0
    memory_needed_mib: float = 4096.0

    def likely(self) -> Optional[Likely]:
        """
        Return an explanation of the score with as few causes as possible; None: there is none.

        Whole monitors are tried first, then failed starts, then a fraction of a load or of pings.
        """
        for readings, failed_starts in self._guesses():
            found = self._rate(readings, failed_starts)
            if found.total == self.score:
                return Likely(readings=readings, failed_starts=failed_starts, why=found.why)
        return None

    def _guesses(self) -> Iterator[tuple[dict[str, float], int]]:
        known = dict(self.known)
        wholes = [
            {**known, **{name: _READS[name][1] for name in lost}}
            for count in range(len(_READS) + 1)
            for lost in combinations([name for name in _READS if name not in known], count)
        ]
        yield from ((readings, 0) for readings in wholes)
        for readings in wholes:
            yield from ((readings, count) for count in range(1, self.policy.failed_starts_max))
        for readings in wholes:
            for name in _SHARES:
                if name not in readings:
                    yield self._with_share(readings, name), 0

    def _with_share(self, readings: Mapping[str, float], name: str) -> dict[str, float]:
        """Return the readings with *name* between healthy and worst, as near as possible."""
        healthy, worst = _READS[name]
        for _ in range(_HALVINGS):
            middle = (healthy + worst) / 2
            total = self._rate({**readings, name: middle}).total
            if total == self.score:
                return {**readings, name: self._shortest(readings, name, middle)}
            if total > self.score:
                healthy = middle
            else:
                worst = middle
        return {**readings, name: worst}

    def _shortest(self, readings: Mapping[str, float], name: str, value: float) -> float:
        """Return the number with the fewest digits that gives the same score."""
        for digits in range(1, 6):
            rounded = round(value, digits)
            if self._rate({**readings, name: rounded}).total == self.score:
                return rounded
        return value

    def _rate(self, readings: Mapping[str, float], failed_starts: int = 0) -> Score:
        values: dict[str, Any] = dict(readings)
        return score(
            Readings.of(**values),
            self.policy,
            memory_needed_mib=self.memory_needed_mib,
            vm_is_here=self.vm_is_here,
            failed_starts=failed_starts,
            preference=self.preference,
        )
