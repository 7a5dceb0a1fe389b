"""Wakes the loop when the leases change, so that the change does not wait for the next pass."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Optional

from he_fsm.runtime.ports import LeaseStatus
from he_fsm.runtime.service.supervised import SupervisedThread
from he_fsm.snapshot import LeaseView


class LeaseWatch:
    """
    Reads the leases every *period_s* seconds, and rings when two readings show the same change.

    Why two: see `Policy.lease_news_s`.

    Args:
        look: gives the leases; None while they can't be read. It may wait, within a deadline.
        ring: called (in a thread of its own) when an owner, this host's id or the hosts that are
            dead have changed, or the leases can't be read any more.
    """

    def __init__(
        self,
        look: Callable[[], Optional[LeaseStatus]],
        ring: Callable[[], None],
        period_s: float,
    ) -> None:
        """Begin with what the first look shows."""
        self._look = look
        self._ring = ring
        self._period_s = period_s
        self._closing = threading.Event()
        self._thread = SupervisedThread("lease-watch", self._run)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more; a look under way ends by its own deadline."""
        self._closing.set()
        self._thread.close()

    def _run(self) -> None:
        known = last = self._glance()
        while not self._closing.wait(self._period_s):
            glance = self._glance()
            if glance == last != known:
                known = glance
                self._ring()
            last = glance

    def _glance(self) -> Optional[LeaseView]:
        status = self._look()
        # Ignore free_at: the agent already wakes on that timer.
        return None if status is None else status.view._replace(free_at=None)
