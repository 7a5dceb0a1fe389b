"""What the commands print about a host, in the form of the talk's status."""

from __future__ import annotations

from typing import Optional

from he_fsm.metadata import HostRecord, engine_words

_LABEL_WIDTH = 35
# Lines of a slot's text that say nothing about the host.
_VERSION_LINES = ("metadata_parse_version=", "metadata_feature_version=")


def status_block(record: HostRecord, *, alive: Optional[bool] = None) -> list[str]:
    """
    Give the status of one host, line by line.

    *alive*: whether the record still grows; None: not known, and not shown.
    """
    lines = [
        f"--== Host {record.host_id} status ==--",
        "",
        _labelled("Hostname", printable(record.hostname)),
        _labelled("Host ID", record.host_id),
        _labelled("Engine status", engine_words(record.engine)),
        _labelled("Score", record.score),
        _labelled("Host timestamp", record.timestamp),
    ]
    if alive is not None:
        lines.append(_labelled("Status up-to-date", alive))
    lines.append(_labelled("Extra metadata", ""))
    lines.extend(f"    {line}" for line in text_lines(record))
    return lines


def text_lines(record: HostRecord) -> list[str]:
    """Give the lines that a host wrote for people, without those about the format's versions."""
    lines = record.text.split("\n")
    return [printable(line) for line in lines if line and not line.startswith(_VERSION_LINES)]


def printable(text: str) -> str:
    """Show control characters as escapes: what a slot holds must not drive a terminal."""
    if text.isprintable():
        return text
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(shown)


def _labelled(label: str, value: object) -> str:
    return f"{label:<{_LABEL_WIDTH}}: {value}".rstrip()


def several(count: int, word: str) -> str:
    """Write how many there are: `1 host`, `2 hosts`."""
    return f"{count} {word}{'' if count == 1 else 's'}"
