"""What a host remembers of how runs ended, of its VM, of moves and of alarms."""

from __future__ import annotations

from typing import Final, Optional

from he_fsm.value import Value


class FailedStarts(Value):
    """
    How often the engine ended badly here: starts that failed, and runs that died, hung or paused.

    A good health page does not clear the count; only a long enough good run does.
    """

    __slots__ = ("count", "good_runs", "last_at", "time_outs")

    def __init__(
        self,
        *,
        count: int = 0,
        last_at: float = 0.0,
        # How many of them were runs that had been good, of which the first costs nothing.
        good_runs: int = 0,
        # How many were starts that took longer than their limit, which each time is longer.
        time_outs: int = 0,
    ) -> None:
        """Take the parts."""
        self.count: Final = count
        self.last_at: Final = last_at
        self.good_runs: Final = good_runs
        self.time_outs: Final = time_outs

    @property
    def penalised(self) -> int:
        """How many of them cost points: one death of a good run is restarted here at once."""
        return self.count - min(1, self.good_runs)


class VmWatch(Value):
    """The VM that is here now: since when, and how it has been."""

    __slots__ = (
        "bad_before_s",
        "bad_since",
        "has_slept",
        "is_gone",
        "is_ordered_down",
        "paused_before_s",
        "paused_since",
        "power_off_at",
        "since",
        "started_here",
        "was_good",
    )

    def __init__(  # noqa: PLR0913 - one for each part
        self,
        *,
        since: float,
        # This host started it (rather than found or received it): if it fails, the start failed.
        started_here: bool = False,
        was_good: bool = False,
        # Since when it has been seen bad, or paused, without a break; None: it is not, or nobody
        # can tell. And for how long before that: only time in which somebody looked is counted.
        bad_since: Optional[float] = None,
        bad_before_s: float = 0.0,
        paused_since: Optional[float] = None,
        paused_before_s: float = 0.0,
        # When powering it off was last ordered.
        power_off_at: Optional[float] = None,
        # Its end was ordered here, so that its end is not a failure.
        is_ordered_down: bool = False,
        # It went while this host could not decide anything.
        is_gone: bool = False,
        # Its host was suspended, and since then its lease has not been seen to be its own.
        has_slept: bool = False,
    ) -> None:
        """Take the parts."""
        self.since: Final = since
        self.started_here: Final = started_here
        self.was_good: Final = was_good
        self.bad_since: Final = bad_since
        self.bad_before_s: Final = bad_before_s
        self.paused_since: Final = paused_since
        self.paused_before_s: Final = paused_before_s
        self.power_off_at: Final = power_off_at
        self.is_ordered_down: Final = is_ordered_down
        self.is_gone: Final = is_gone
        self.has_slept: Final = has_slept


class Moves(Value):
    """The engine's moves, as this host has seen them: what the doubling waits are computed from."""

    __slots__ = (
        "failed_at",
        "failures",
        "moved_at",
        "moves",
        "refused_by",
        "seen_on",
        "target",
    )

    def __init__(  # noqa: PLR0913 - one for each part
        self,
        *,
        target: Optional[int] = None,
        # Migrations away from here that failed in a row, and the host that was asked last.
        failures: int = 0,
        failed_at: float = 0.0,
        refused_by: Optional[int] = None,
        # How often the engine has changed its host, whoever moved it, and where it was seen last.
        moves: int = 0,
        moved_at: float = 0.0,
        seen_on: Optional[int] = None,
    ) -> None:
        """Take the parts."""
        self.target: Final = target
        self.failures: Final = failures
        self.failed_at: Final = failed_at
        self.refused_by: Final = refused_by
        self.moves: Final = moves
        self.moved_at: Final = moved_at
        self.seen_on: Final = seen_on


class RaisedAlarm(Value):
    """An alarm: since when, how often people were notified of it, and when they are next."""

    __slots__ = ("ended_at", "is_open", "name", "next_at", "since", "told")

    def __init__(  # noqa: PLR0913 - one for each part
        self,
        *,
        name: str,
        since: float,
        told: int,
        next_at: float,
        # Since when it is over; None: it is raised. One that is raised again soon goes on growing
        # rare.
        ended_at: Optional[float] = None,
        # People were notified of it, and not yet that it is over.
        is_open: bool = False,
    ) -> None:
        """Take the parts."""
        self.name: Final = name
        self.since: Final = since
        self.told: Final = told
        self.next_at: Final = next_at
        self.ended_at: Final = ended_at
        self.is_open: Final = is_open
