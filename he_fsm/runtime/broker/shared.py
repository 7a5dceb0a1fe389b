"""One reading for all who ask at the same time, so that people who look are no load."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Generic, Optional, TypeVar

from he_fsm.errors import HeFsmError

Value = TypeVar("Value")
# A value is kept for this many times as long as it took to read: people who look all the time use
# a fifth of a slow storage at most.
_KEPT: Final = 4


class SharedReading(Generic[Value]):
    """
    A value that is read again only when it is too old.

    Too old is a value of more than *age_max_s*, or of four times what its reading took if that is
    longer, and any value whose reading began before the last `forget`. Who asks while another one
    reads gets what that one finds, or its error. `put` takes what was read for another purpose. May
    be used by several threads.
    """

    def __init__(
        self, read: Callable[[], Value], age_max_s: float, clock: Callable[[], float]
    ) -> None:
        """Know nothing yet."""
        self._read = read
        self._age_max_s = age_max_s
        self._clock = clock
        # Nobody holds it while reading; it is notified when a reading has ended.
        self._changed = threading.Condition()
        self._is_reading = False
        # Counts what was written: a reading that began before may have found what was there before.
        self._forgets = 0
        # The last reading and when it ended; both None: there is none that may be used.
        self._value: Optional[tuple[Value, float]] = None
        self._error: Optional[tuple[HeFsmError, float]] = None
        self._took_s = 0.0

    def get(self, *, fresh: bool = False) -> Value:
        """
        Return the value; *fresh*: one whose reading ended after this was asked.

        Raises:
            HeFsmError: what the reading raised.
        """
        asked_at = self._clock()
        kept_s = max(self._age_max_s, _KEPT * self._took_s)
        oldest_at = asked_at if fresh else asked_at - kept_s
        with self._changed:
            while True:
                value, error = self._value, self._error
                if value is not None and value[1] >= oldest_at:
                    return value[0]
                if error is not None and error[1] >= asked_at:
                    raise error[0]
                if not self._is_reading:
                    break
                self._changed.wait()
            self._is_reading = True
            forgets = self._forgets
        return self._read_for_all(forgets)

    def _read_for_all(self, forgets: int) -> Value:
        """Read, and leave what was found to those who wait, unless it was written meanwhile."""
        began_at = self._clock()
        value: Optional[tuple[Value, float]] = None
        error: Optional[tuple[HeFsmError, float]] = None
        try:
            found = self._read()
            value = found, self._clock()
        except HeFsmError as trouble:
            error = trouble, self._clock()
            raise
        finally:
            with self._changed:
                self._is_reading = False
                self._took_s = self._clock() - began_at
                if forgets == self._forgets:
                    self._value, self._error = value, error
                self._changed.notify_all()
        return found

    def put(self, value: Value) -> None:
        """Take a value that was read just now."""
        with self._changed:
            self._value, self._error = (value, self._clock()), None
            # How long that reading took is not known.
            self._took_s = 0.0

    def forget(self) -> None:
        """Forget the value: something was written, so the next caller reads."""
        with self._changed:
            self._forgets += 1
            self._value = self._error = None
