"""What an agent has counted since it began, for metrics: transitions, and how runs have ended."""

from __future__ import annotations

from collections import Counter
from typing import Any, Optional

from he_fsm.memory import Memory


class Counted:
    """Counts; a new agent begins with zero."""

    def __init__(self) -> None:
        """Have counted nothing yet."""
        self._edges: Counter[tuple[str, str, str]] = Counter()
        self._starts = 0
        self._runs = 0

    def take(self, before: Memory, memory: Memory, edge: Optional[str]) -> None:
        """Count what one decision has brought; *edge*: the name of the row that was taken."""
        if edge is not None:
            self._edges[before.state.value, memory.state.value, edge] += 1
        # A count that shrinks was forgotten, or was a penalty that is over.
        ended = max(0, memory.failed.count - before.failed.count)
        runs = min(ended, max(0, memory.failed.good_runs - before.failed.good_runs))
        self._runs += runs
        self._starts += ended - runs

    def report(self) -> dict[str, Any]:
        """Return the counts as plain values."""
        edges = [[*edge, count] for edge, count in sorted(self._edges.items())]
        return {"transitions": edges, "ended": {"starts": self._starts, "runs": self._runs}}
