"""The engine status as a record holds it: JSON today, plain words in 2013."""

from __future__ import annotations

import functools
import json
from typing import Final

from he_fsm.metadata.record import EngineStatus

UNREADABLE: Final = EngineStatus("unknown", "unknown", "serialization error")
UP_GOOD: Final = "vm-up good-health-status"
UP_BAD: Final = "vm-up bad-health-status"
DOWN: Final = "vm-down"
UNKNOWN: Final = "None"

_OF_WORDS: Final = {
    UP_GOOD: EngineStatus("up", "good", UP_GOOD),
    UP_BAD: EngineStatus("up", "bad", UP_BAD),
    DOWN: EngineStatus("down", "bad", DOWN),
    UNKNOWN: EngineStatus("unknown", "unknown", UNKNOWN),
}


# A cluster says a handful of different statuses over and over.
@functools.lru_cache(maxsize=1024)
def engine_from_text(text: str) -> EngineStatus:
    """
    Read the engine status of a record; never raises.

    Today's JSON object needs `vm` and `health`; whatever type its values have, they are
    taken as text. The words of 2013 are understood as well, with the words as `detail`.
    Anything else is unknown, with the detail "serialization error".
    """
    words = _OF_WORDS.get(text)
    if words is not None:
        return words
    try:
        # Numbers are only shown: kept as written, none is too long or no number at all.
        value = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
        if not isinstance(value, dict) or "vm" not in value or "health" not in value:
            return UNREADABLE
        reason = value.get("reason")
        return EngineStatus(
            vm=str(value["vm"]),
            health=str(value["health"]),
            detail=str(value.get("detail", "unknown")),
            reason=None if reason is None else str(reason),
        )
    except (ValueError, RecursionError):
        return UNREADABLE


@functools.lru_cache(maxsize=1024)
def engine_json(status: EngineStatus) -> str:
    """Give the status as oVirt writes it, byte for byte: ASCII, `reason` only if there is one."""
    value = {"vm": status.vm, "health": status.health, "detail": status.detail}
    if status.reason is not None:
        value["reason"] = status.reason
    return json.dumps(value)


def engine_words(status: EngineStatus) -> str:
    """Give the words of 2013 for any status: a VM that is up is healthy or not, nothing between."""
    if status.vm == "up":
        return UP_GOOD if status.health == "good" else UP_BAD
    return DOWN if status.vm.startswith("down") else UNKNOWN
