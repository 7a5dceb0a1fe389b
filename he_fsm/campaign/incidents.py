"""Incidents of a real cluster from a CSV file: how long they lasted, and the time between them."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.document.files import read_text
from he_fsm.document.units import parse_number
from he_fsm.errors import DocumentError

_BEGAN, _ENDED, _HOST, _CAUSE = "began", "ended", "host", "cause"
_REQUIRED: Final = (_BEGAN, _ENDED)


@attrs.frozen
class Incidents:
    """
    The times of a file of incidents, in seconds.

    `between_s`: from the end of one incident to the next, of the same host if the file names hosts.
    Overlapping incidents of one host count as one.
    """

    count: int
    lasted_s: tuple[float, ...]
    between_s: tuple[float, ...]


def read_incidents(path: Path, cause: Optional[str] = None) -> Incidents:
    """
    Read a CSV file with the columns `began` and `ended`, and optionally `host` and `cause`.

    Times are dates like `2025-03-01 13:30` (UTC, unless they have a zone) or seconds. Other columns
    are ignored.

    Args:
        path: the file, in UTF-8.
        cause: read only the incidents with this word in the column `cause`.

    Raises:
        DocumentError: the file is not valid; the error says file:line, the column and what was
            expected.
    """
    rows = csv.DictReader(io.StringIO(read_text(path), newline=""), skipinitialspace=True)
    names = tuple(rows.fieldnames or ())
    for name in (*_REQUIRED, *(() if cause is None else (_CAUSE,))):
        if name not in names:
            msg = (
                f"{path}:1: the column '{name}' is missing; there are {', '.join(names) or 'none'}"
            )
            raise DocumentError(msg)
    stretches: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if cause is None or row[_CAUSE] == cause:
            began_s, ended_s = (_time(row, name, path, rows.line_num) for name in _REQUIRED)
            if ended_s < began_s:
                msg = f"{path}:{rows.line_num}: column 'ended': expected a time after 'began'"
                raise DocumentError(msg)
            stretches.setdefault(row.get(_HOST) or "", []).append((began_s, ended_s))
    joined = [join(each) for each in stretches.values()]
    return Incidents(
        count=sum(len(each) for each in joined),
        lasted_s=tuple(end - start for each in joined for start, end in each),
        between_s=tuple(
            after - end for each in joined for (_, end), (after, _) in zip(each, each[1:])
        ),
    )


def join(stretches: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Join stretches of time that touch or overlap; return them sorted."""
    joined: list[tuple[float, float]] = []
    for start, end in sorted(stretches):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def _time(row: Mapping[str, Optional[str]], name: str, path: Path, line: int) -> float:
    text = (row[name] or "").strip()
    try:
        return parse_number(text)
    except (ValueError, OverflowError):
        pass
    try:
        # Python 3.9 does not know `Z`.
        moment = dt.datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError:
        msg = (
            f"{path}:{line}: column '{name}': expected a date like 2025-03-01 13:30, or seconds,"
            f" got {text!r}"
        )
        raise DocumentError(msg) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.timezone.utc)
    return moment.timestamp()
