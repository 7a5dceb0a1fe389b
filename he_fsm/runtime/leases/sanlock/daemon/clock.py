"""The clock of a sanlock daemon, which tells whole seconds only."""

from __future__ import annotations

import collections
from typing import Final

# At a look a second these are spread over all of a second, and soon forget a daemon of before.
_LOOKS: Final = 64
# A daemon may take so long to answer; a larger difference is another daemon's (seconds).
_ANSWER_S: Final = 1.0


class DaemonClock:
    """
    Finds from many looks when the daemon's clock goes on to its next second.

    By one look that is known to a second alone, and a host that waits for a lease would ask for it
    up to a second late. *rate* is how many seconds the daemon's clock counts in one of ours.
    """

    def __init__(self, rate: float) -> None:
        """Know nothing yet."""
        self._rate = rate
        # By how much it was ahead of ours, at least (seconds), at each of the last looks.
        self._ahead: collections.deque[float] = collections.deque(maxlen=_LOOKS)

    def began(self, shown: int, now: float) -> float:
        """
        Return when it began to show the second that it shows *now*, on our clock.

        That is never too early; at first it may be one of its seconds too late.
        """
        ahead = shown / self._rate - now
        if self._ahead and abs(ahead - max(self._ahead)) > 1 / self._rate + _ANSWER_S:
            self._ahead.clear()
        self._ahead.append(ahead)
        return shown / self._rate - max(self._ahead)
