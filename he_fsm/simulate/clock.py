"""A host's clocks: a monotonic one that begins anew at each boot, a wall clock that may err."""

from __future__ import annotations

# What a right wall clock shows at time 0: the day of the talk, 2013-09-06 23:32:42 UTC.
WALL_AT_ZERO_S = 1378510362.0


class HostClock:
    """
    The clocks of one simulated host, against true time (seconds since the scenario began).

    `rate` is how fast both run; only the wall clock can jump.
    """

    __slots__ = ("_monotonic_at", "_true_at", "_wall_offset_s", "rate")

    def __init__(self, uptime_s: float, wall_at_zero_s: float) -> None:
        """Begin at true time 0 with *uptime_s* on the monotonic clock."""
        self.rate = 1.0
        self._true_at = 0.0
        self._monotonic_at = uptime_s
        self._wall_offset_s = wall_at_zero_s - uptime_s

    def monotonic(self, time: float) -> float:
        """Give the host's monotonic clock at true time *time*."""
        return self._monotonic_at + (time - self._true_at) * self.rate

    def true_time(self, monotonic: float) -> float:
        """Give the true time at which the monotonic clock shows *monotonic*."""
        return self._true_at + (monotonic - self._monotonic_at) / self.rate

    @property
    def wall_offset_s(self) -> float:
        """What has to be added to the monotonic clock to get the wall clock."""
        return self._wall_offset_s

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back."""
        self._wall_offset_s += seconds

    def run_at(self, time: float, rate: float) -> None:
        """Let both clocks run at *rate* from true time *time* on."""
        self._monotonic_at = self.monotonic(time)
        self._true_at = time
        self.rate = rate

    def boot(self, time: float) -> None:
        """Begin the monotonic clock anew; the wall clock goes on."""
        wall = self.monotonic(time) + self._wall_offset_s
        self._monotonic_at = 0.0
        self._true_at = time
        self._wall_offset_s = wall
