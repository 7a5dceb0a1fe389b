"""
A host's clocks.

The monotonic one begins anew at each boot and stands still while the host is suspended
(CLOCK_MONOTONIC, and sanlock's CLOCK_MONOTONIC_RAW), the boot clock counts that time too
(CLOCK_BOOTTIME), and the wall clock may err.
"""

from __future__ import annotations

from typing import Optional

# What a right wall clock shows at time 0: the day of the talk, 2013-09-06 23:32:42 UTC.
WALL_AT_ZERO_S = 1378510362.0


class HostClock:
    """
    The clocks of one simulated host, against true time (seconds since the scenario began).

    `rate` is how fast all of them run; only the wall clock can jump.
    """

    __slots__ = (
        "_asleep_since",
        "_boot_offset_s",
        "_monotonic_at",
        "_sleeps",
        "_true_at",
        "_wall_offset_s",
        "boots",
        "rate",
    )

    def __init__(self, uptime_s: float, wall_at_zero_s: float) -> None:
        """Begin at true time 0 with *uptime_s* on the monotonic clock."""
        self.rate = 1.0
        # How often the host has booted.
        self.boots = 0
        self._true_at = 0.0
        self._monotonic_at = uptime_s
        self._wall_offset_s = wall_at_zero_s - uptime_s
        # How much further the boot clock is.
        self._boot_offset_s = 0.0
        # The sleep that lasts, and those that are over (true times).
        self._asleep_since: Optional[float] = None
        self._sleeps: list[tuple[float, float]] = []

    def monotonic(self, time: float) -> float:
        """Return the host's monotonic clock at true time *time*, not before the last change."""
        if self._asleep_since is not None:
            return self._monotonic_at
        return self._monotonic_at + (time - self._true_at) * self.rate

    def boottime(self, time: float) -> float:
        """Return the host's boot clock at true time *time*, not before the last change."""
        asleep_s = (time - self._true_at) * self.rate if self.is_suspended else 0.0
        return self.monotonic(time) + self._boot_offset_s + asleep_s

    def true_time(self, monotonic: float) -> float:
        """
        Return the true time at which the monotonic clock shows *monotonic*.

        Of one that stands still: when it would, if it went on.
        """
        return self._true_at + (monotonic - self._monotonic_at) / self.rate

    @property
    def wall_offset_s(self) -> float:
        """What has to be added to the monotonic clock to get the wall clock; of a host awake."""
        return self._wall_offset_s

    def wall(self, time: float) -> float:
        """Return what the wall clock shows at true time *time*."""
        return self.monotonic(time) + self._wall_offset_s

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back."""
        self._wall_offset_s += seconds

    def run_at(self, time: float, rate: float) -> None:
        """Run all clocks at *rate* from true time *time* on."""
        self._go_to(time)
        self.rate = rate

    def boot(self, time: float) -> None:
        """Begin the monotonic clock and the boot clock anew; the wall clock goes on."""
        wall = self.monotonic(time) + self._wall_offset_s
        self.boots += 1
        self._monotonic_at = self._boot_offset_s = 0.0
        self._true_at = time
        self._wall_offset_s = wall

    # Suspended.

    @property
    def is_suspended(self) -> bool:
        """Whether the host is suspended."""
        return self._asleep_since is not None

    def suspend(self, time: float) -> None:
        """Stop the monotonic clock at true time *time*."""
        self._go_to(time)
        self._asleep_since = time

    def resume(self, time: float) -> None:
        """Start the monotonic clock again."""
        if self._asleep_since is not None:
            self._go_to(time)
            self._sleeps.append((self._asleep_since, time))
            self._asleep_since = None

    def slept_s(self, start: float, end: float) -> float:
        """Return how much of a stretch of true time, up to now, the host was suspended."""
        sleeps = self._sleeps
        if self._asleep_since is not None:
            sleeps = [*sleeps, (self._asleep_since, end)]
        if not sleeps:
            return 0.0
        return sum(max(0.0, min(end, until) - max(start, since)) for since, until in sleeps)

    def _go_to(self, time: float) -> None:
        """Count from true time *time* on."""
        asleep_s = (time - self._true_at) * self.rate if self.is_suspended else 0.0
        self._monotonic_at = self.monotonic(time)
        self._true_at = time
        self._wall_offset_s += asleep_s
        self._boot_offset_s += asleep_s
