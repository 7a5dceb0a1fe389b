"""When a maintenance ends that runs at the beginning, and ends by itself."""

from __future__ import annotations

from typing import Any, Optional

from he_fsm.metadata.text import told_utc_s
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.scenario.beginning.sight import Sight
from he_fsm.words import span_text

# A maintenance whose time is over ends with the next look of an agent (seconds).
_LEFT_MIN_S = 1


def maintenance_ends(
    board: Whiteboard, sight: Optional[Sight], notes: list[str]
) -> list[dict[str, Any]]:
    """
    Return the entries of a timeline by which a running maintenance ends, and note each.

    The time of the copy is that of the newest record, which tells its host's wall clock. Whether
    another host's local maintenance ends by itself stands in no record.
    """
    told = [told_utc_s(record.text) for record in board.records.values()]
    now = max((each for each in told if each is not None), default=None)
    if now is None:
        return []
    found: list[dict[str, Any]] = []
    slot_0 = board.global_block
    if slot_0.maintenance and slot_0.until is not None:
        left_s = max(_LEFT_MIN_S, slot_0.until - now)
        found.append({"at": 0, "maintenance": "global", "for": left_s})
        notes.append(f"global maintenance ends by itself in {span_text(left_s)}")
    number = None if sight is None else sight.host_id
    record = None if number is None else board.records.get(number)
    until = None if sight is None else sight.local_until
    if record is not None and record.local_maintenance and until is not None:
        left_s = max(_LEFT_MIN_S, until - now)
        found.append({"at": 0, "host": number, "maintenance": "on", "for": left_s})
        text = f"the local maintenance of host {number} ends by itself in {span_text(left_s)}"
        notes.append(text)
    return found
