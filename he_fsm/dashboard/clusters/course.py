"""
The last hours of a cluster as lanes: what was so, from when until when.

A lane has rows; a row is a list of `[start, word]`, which holds until the next one begins. The last
one holds now. None: it is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from he_fsm.live.summary import facts_of
from he_fsm.live.verdict import Verdict
from he_fsm.metadata import EngineStatus, engine_condition

Word = Any
Rows = dict[str, list[list[Any]]]
# A row that changes all the time is cut (a lane that flickers shows that it does).
_SPELLS_MAX = 400
ENGINE = "lane/engine"


class Course:
    """Collects lanes; each is bounded in time and in length."""

    def __init__(self, span_s: float) -> None:
        """Begin without any; *span_s*: how much of the past is kept (seconds)."""
        self._span_s = span_s
        self._lanes: dict[str, Rows] = {}
        self._last_at: Optional[float] = None

    def add(self, at: float, lanes: Mapping[str, Mapping[str, Word]]) -> dict[str, Rows]:
        """
        Take what is so from *at* (seconds since 1970) on; return the lanes that are other ones now.

        A lane that is not among *lanes* is not known any more.
        """
        if self._last_at is not None and at < self._last_at:
            # A wall clock that was set back.
            at = self._last_at
        self._last_at = at
        changed = {}
        for name in {*self._lanes, *lanes}:
            rows = self._lanes.setdefault(name, {})
            words = lanes.get(name, {})
            is_new = [_extend(rows, row, at, words.get(row)) for row in {*rows, *words}]
            is_cut = [self._cut(spells, at) for spells in rows.values()]
            if any(is_new) or any(is_cut):
                changed[name] = {row: [list(each) for each in rows[row]] for row in sorted(rows)}
        return changed

    def _cut(self, spells: list[list[Any]], at: float) -> bool:
        """Forget what ended before the span; the first of the rest began there at the earliest."""
        begin = at - self._span_s
        count = 0
        while len(spells) > count + 1 and spells[count + 1][0] <= begin:
            count += 1
        count = max(count, len(spells) - _SPELLS_MAX)
        del spells[:count]
        return count > 0


def _extend(rows: Rows, row: str, at: float, word: Word) -> bool:
    spells = rows.setdefault(row, [])
    if spells and spells[-1][1] == word:
        return False
    had_any = bool(spells)
    if spells and spells[-1][0] == at:
        # It was so for no time at all.
        spells.pop()
    last = spells[-1][1] if spells else None
    if word != last:
        spells.append([at, word])
    return had_any or bool(spells)


def lanes_of(status: Mapping[str, Any], verdict: Verdict) -> dict[str, dict[str, Word]]:
    """Return what a status says of the engine and of each host."""
    lease = status["lease"]
    owner = None if lease is None else lease["owner"]
    is_blind = verdict.level == "unknown" and verdict.engine_on is None
    engine: Word = None if is_blind else [verdict.engine, verdict.engine_on]
    lanes: dict[str, dict[str, Word]] = {ENGINE: {"engine": engine}}
    alive = status["agent"].get("alive")
    for key, plain in status["hosts"].items():
        if "problem" in plain:
            lanes[f"lane/{key}"] = {"state": "damaged"}
            continue
        lanes[f"lane/{key}"] = _host_lane(int(key), plain, alive, owner)
    return lanes


def _host_lane(
    host: int, plain: Mapping[str, Any], alive: Optional[list[int]], owner: Optional[int]
) -> dict[str, Word]:
    is_alive = alive is None or host in alive
    condition = engine_condition(EngineStatus(**plain["engine"]))
    state = facts_of(plain["text"]).get("state") or None
    if plain["stopped"]:
        state = "stopped"
    elif not is_alive:
        state = "silent"
    return {
        "state": state,
        "vm": condition if is_alive and condition not in ("down", "unknown") else None,
        "lease": "held" if owner == host else None,
        "score": plain["score"] if is_alive and not plain["stopped"] else None,
    }
