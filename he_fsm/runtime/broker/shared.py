"""One reading for all who ask at the same time, so that people who look are no load."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Optional, TypeVar

from he_fsm.errors import HeFsmError

Value = TypeVar("Value")


class SharedReading(Generic[Value]):
    """
    A value that is read again only when it is older than *age_max_s*.

    Who asks while another one reads gets what that one finds, or its error. `put` takes what was
    read for another purpose. May be used by several threads.
    """

    def __init__(
        self, read: Callable[[], Value], age_max_s: float, clock: Callable[[], float]
    ) -> None:
        """Know nothing yet."""
        self._read = read
        self._age_max_s = age_max_s
        self._clock = clock
        self._lock = threading.Lock()
        # The last reading; both None: there is none that may be used.
        self._value: Optional[tuple[Value, float]] = None
        self._error: Optional[tuple[HeFsmError, float]] = None

    def get(self, *, fresh: bool = False) -> Value:
        """
        Return the value; *fresh*: one that was read after this was asked.

        Raises:
            HeFsmError: what the reading raised.
        """
        asked_at = self._clock()
        with self._lock:
            value, error = self._value, self._error
            oldest_at = asked_at if fresh else asked_at - self._age_max_s
            if value is not None and value[1] >= oldest_at:
                return value[0]
            if error is not None and error[1] >= asked_at:
                raise error[0]
            try:
                found = self._read()
            except HeFsmError as trouble:
                self._error = trouble, self._clock()
                raise
            self.put(found)
            return found

    def put(self, value: Value) -> None:
        """Take a value that was read just now."""
        self._value, self._error = (value, self._clock()), None

    def forget(self) -> None:
        """Forget the value: something was written, so the next caller reads."""
        self._value = self._error = None
