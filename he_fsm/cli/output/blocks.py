"""The status of a host as text, in the form that the talk shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from he_fsm.metadata import (
    PLAIN_CONDITIONS,
    EngineStatus,
    HostRecord,
    engine_condition,
    engine_words,
)
from he_fsm.words import printable, slots_text

_LABEL_WIDTH = 35
# Lines of a slot's text that are about the format, and not about the host.
_VERSION_LINES = ("metadata_parse_version=", "metadata_feature_version=")


def status_block(record: HostRecord, *, alive: Optional[bool] = None) -> list[str]:
    """
    Return the status of one host, line by line.

    *alive* says whether the record still grows; None means unknown, and is not shown.
    """
    lines = [
        f"--== Host {record.host_id} status ==--",
        "",
        _labelled("Hostname", printable(record.hostname)),
        _labelled("Host ID", record.host_id),
        _labelled("Engine status", engine_text(record.engine)),
        _labelled("Score", record.score),
        _labelled("Host timestamp", record.timestamp),
    ]
    if record.stopped:
        lines.append(_labelled("Agent", "stopped"))
    elif alive is not None:
        lines.append(_labelled("Status up-to-date", alive))
    lines.append(_labelled("Extra metadata", ""))
    lines.extend(f"    {line}" for line in text_lines(record))
    return lines


def engine_text(status: EngineStatus) -> str:
    """Return the words of 2013, and in parentheses what they don't distinguish: `(paused)`."""
    words, condition = engine_words(status), engine_condition(status)
    return words if condition in PLAIN_CONDITIONS else f"{words} ({condition})"


def text_lines(record: HostRecord) -> list[str]:
    """Return the text that a host wrote for people, without the lines about format versions."""
    lines = record.text.split("\n")
    return [printable(line) for line in lines if line and not line.startswith(_VERSION_LINES)]


def _labelled(label: str, value: object) -> str:
    return f"{label:<{_LABEL_WIDTH}}: {value}".rstrip()


def damaged_lines(damaged: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """
    Return the slots that can't be believed, a few lines however many they are.

    *damaged*: `problem` (its word) and `detail` by slot. What slots of one word say in detail may
    differ; one example stands for all.
    """
    if not damaged:
        return []
    lines = ["", "--== Slots that can't be believed ==--", ""]
    words: dict[str, list[int]] = {}
    for slot, plain in sorted(damaged.items()):
        words.setdefault(plain["problem"], []).append(slot)
    for word, slots in words.items():
        example = printable(str(damaged[slots[0]]["detail"]))
        more = "" if len(slots) == 1 else f"slot {slots[0]}: "
        lines.append(_labelled(slots_text(slots), f"{word} ({more}{example})"))
    return lines
