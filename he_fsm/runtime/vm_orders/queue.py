"""The orders that a broker keeps for its agent."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Final

from he_fsm.runtime.vm_orders.order import VmOrder, Wanted

# An order that no agent takes within this time is dropped: an agent that is started an hour later
# must not end a VM because of it (seconds).
VALID_S: Final = 15.0


class OrderQueue:
    """Orders in the sequence in which they were given; for any thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin empty; *clock* is one in seconds that also counts while the host is suspended."""
        self._clock = clock
        self._guard = threading.Lock()
        self._orders: list[tuple[float, VmOrder]] = []
        # Larger than all numbers of the broker before this one.
        self._numbers = itertools.count(time.time_ns())

    def put(self, wanted: Wanted, by: int) -> int:
        """Keep an order of the user *by*; return its number."""
        with self._guard:
            order = VmOrder(number=next(self._numbers), wanted=wanted, by=by)
            self._orders.append((self._clock(), order))
        return order.number

    def take(self) -> tuple[VmOrder, ...]:
        """Return the orders that still count, each once."""
        with self._guard:
            orders, self._orders = self._orders, []
        now = self._clock()
        return tuple(order for given_at, order in orders if now - given_at <= VALID_S)
