"""What the page draws of a run, as plain values: lanes with bars, marks and scores."""

from __future__ import annotations

from typing import Any, Final

import attrs

from he_fsm.report.outcome import Outcome
from he_fsm.report.page_lanes import host_label, lanes
from he_fsm.report.page_look import LEASE_COLOUR, MARKS, SCORE_COLOUR, STATE_COLOURS, WORD_COLOURS

# So many events are listed; of a storm of them, the first ones say what it is.
_EVENTS_MAX: Final = 2000


def run_picture(outcome: Outcome) -> dict[str, Any]:
    """
    Return what the page shows of a run; times are in seconds.

    `lanes`: as `he_fsm.report.page_lanes` makes them for the pages of `--html`, the engine first.
    `left_out`: how many hosts have no lane. `happened`: the first events in words; `events`: how
    many there are. `failures`, `totals`, `final`: as `he-fsm simulate --json` prints them.
    """
    shown, left_out = lanes(outcome)
    printed = outcome.to_json()
    return {
        **{key: printed[key] for key in ("seed", "verdict", "failures", "totals", "final")},
        "until": outcome.scenario.until,
        "score_max": outcome.scenario.policy.score_max,
        "lanes": [attrs.asdict(lane) for lane in shown],
        "left_out": left_out,
        "happened": [
            {
                "t": round(event.t, 3),
                "host": event.host,
                "where": host_label(event.host),
                "kind": event.kind,
                "text": event.text(),
            }
            for event in outcome.events[:_EVENTS_MAX]
        ],
        "events": len(outcome.events),
    }


def spells(outcome: Outcome) -> list[list[Any]]:
    """Return where the engine was: a list [start, end, host or None, its word] for each spell."""
    found = [change for change in outcome.changes if change.kind == "engine"]
    ends = [*(change.t for change in found[1:]), outcome.scenario.until]
    return [
        [round(change.t, 3), round(end, 3), change.host, change.word]
        for change, end in zip(found, ends)
        if end > change.t
    ]


def look() -> dict[str, Any]:
    """Return the colours and marks of timelines, the same as on every page of the project."""
    return {
        "states": STATE_COLOURS,
        "words": WORD_COLOURS,
        "lease": LEASE_COLOUR,
        "score": SCORE_COLOUR,
        "marks": {
            kind: {"path": mark.path, "colour": mark.colour, "meaning": mark.meaning}
            for kind, mark in MARKS.items()
        },
    }
