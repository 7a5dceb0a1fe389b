"""How fast the pages of the dashboard answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from table import Row
from timing import best

from he_fsm.dashboard.whatif.beginning import example_text
from he_fsm.dashboard.whatif.processes.pool import Pool

# What the issue asks of a slider that has moved.
_SLIDER_LIMIT_S = 0.2


def what_if() -> Iterator[Row]:
    """A slider moves: the file is changed, read, played and drawn as values, in a process."""
    loop, pool = asyncio.new_event_loop(), Pool(workers=1)
    question = {
        "text": example_text(),
        "edits": [{"do": "set", "path": ["policy", "migration_threshold"], "value": 400}],
    }

    def ask(runs: int) -> None:
        found = loop.run_until_complete(pool.ask({**question, "runs": runs}))
        assert found is not None
        assert len(found["answer"]["runs"]) == runs

    try:
        ask(1)
        took_s = best(lambda: ask(1))
        yield Row(
            "what-if page, 3 hosts, 1 seed: a slider", took_s * 1000, _SLIDER_LIMIT_S * 1000, "ms"
        )
        yield Row("  50 seeds", best(lambda: ask(50), 3) * 1000, None, "ms")
    finally:
        loop.run_until_complete(pool.close())
        loop.close()
