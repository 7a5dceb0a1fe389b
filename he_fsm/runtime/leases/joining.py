"""Joining that takes longer than a call may: it goes on by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Optional

from he_fsm.errors import LockspaceError


class Joining:
    """A joining under way, in a thread: it can't be given up; *join* raises `LockspaceError`s."""

    def __init__(self, join: Callable[[], None]) -> None:
        self.error: Optional[LockspaceError] = None
        self._is_done = threading.Event()
        self._join = join
        threading.Thread(target=self._run, name="joining", daemon=True).start()

    def is_done(self, within_s: float) -> bool:
        """Wait for its end, so many seconds at most; `error` says how it ended."""
        return self._is_done.wait(within_s)

    def _run(self) -> None:
        try:
            self._join()
        except LockspaceError as error:
            self.error = error
        finally:
            self._is_done.set()
