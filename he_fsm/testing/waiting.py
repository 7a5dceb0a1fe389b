"""Waiting for what other threads and processes do: by looking, with a deadline."""

from __future__ import annotations

import time
from typing import Callable

# Far above what anything here takes, for machines that are busy with something else.
DEADLINE_S = 20.0


def until(condition: Callable[[], object], within_s: float = DEADLINE_S) -> None:
    """Wait until *condition* holds; fails if it does not in time."""
    ends_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_at, f"still not so after {within_s:g} s"
        time.sleep(0.005)
