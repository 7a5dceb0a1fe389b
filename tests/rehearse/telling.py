"""What a failed rehearsal showed, for people."""

from __future__ import annotations

from he_fsm.rehearse.compare import Pair, differences
from he_fsm.report.outcome import Outcome


def told(outcome: Outcome) -> str:
    events = (f"{e.t:8.2f} {e.host} {e.kind} {e.text()}" for e in outcome.events)
    return "\n".join([*map(str, outcome.failures), *events])


def alone(pairs: tuple[Pair, ...]) -> list[str]:
    return [
        f"{'predicted' if pair.predicted else 'seen'} only: {pair.event.t:.1f} s, host "
        f"{pair.event.host}: {pair.event.details['from']} -> {pair.event.details['to']}"
        for pair in differences(pairs)
    ]
