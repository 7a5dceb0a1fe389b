"""The engine status as a record holds it: JSON today, plain words in 2013."""

from __future__ import annotations

import functools
import json
from typing import Final

from he_fsm.metadata.record import FROZEN, WAITS_FOR_LAUNCH, EngineStatus

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


# A cluster repeats a handful of statuses again and again.
@functools.lru_cache(maxsize=1024)
def engine_from_text(text: str) -> EngineStatus:
    """
    Read the engine status of a record; never raises.

    Today's JSON object needs `vm` and `health`; values of any type are read as text. The words of
    2013 are read as well, and become the `detail`. Anything else is unknown, with the detail
    "serialization error".
    """
    words = _OF_WORDS.get(text)
    if words is not None:
        return words
    try:
        # Numbers are only shown. Kept as text, none can be too long or not a number.
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
    """Return the status as oVirt writes it, byte for byte: ASCII, `reason` only if there is one."""
    value = {"vm": status.vm, "health": status.health, "detail": status.detail}
    if status.reason is not None:
        value["reason"] = status.reason
    return json.dumps(value)


def engine_words(status: EngineStatus) -> str:
    """Return the words of 2013 for any status; a VM that is up is either healthy or not."""
    if status.vm == "up":
        return UP_GOOD if status.health == "good" else UP_BAD
    return DOWN if status.vm.startswith("down") else UNKNOWN


# What vdsm's words for a VM that is up mean, where that is more than healthy or not.
_OF_DETAILS: Final = {
    "Paused": "paused",
    "Powering up": "starting",
    "Restoring state": "starting",
    WAITS_FOR_LAUNCH: "waiting for launch",
    "Powering down": "powering down",
    "Migration Source": "migrating away",
    "RebootInProgress": "rebooting",
    "Saving State": "being saved",
}
# The conditions that `engine_words` tells apart as well.
PLAIN_CONDITIONS: Final = frozenset(("good", "bad", "down", "unknown"))


def engine_condition(status: EngineStatus) -> str:
    """
    Return the condition of the engine VM in one or two words.

    good, bad, down and unknown; and of a VM that does something: paused, starting, waiting for
    launch, powering down, migrating away, migrating here, rebooting, being saved, frozen (kept for
    its host, which went down in order).
    """
    if status.vm == "up":
        plain = "good" if status.health == "good" else "bad"
        return _OF_DETAILS.get(status.detail, plain)
    if status.claims_lease:
        return "waiting for launch"
    if status.detail == "Migration Destination":
        return "migrating here"
    if status.keeps_engine:
        return FROZEN.lower()
    return "down" if status.vm.startswith("down") else "unknown"
