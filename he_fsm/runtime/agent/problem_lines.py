"""What the log says of slots that can't be believed: one line for each kind of change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from he_fsm.metadata.record import ProblemWord
from he_fsm.words import hosts_text, slots_text

# How the log names what begins and what is over; the rest is about the slot's content.
_BEGINS: Final = {
    ProblemWord.SILENT: "silent, but the engine's lease is still renewed there: {hosts}",
    ProblemWord.HELD: "another host holds the id of this one: {hosts}",
}
_ENDS: Final = {
    ProblemWord.SILENT: "no longer silent: {hosts}",
    ProblemWord.HELD: "the id of this host is its own again: {hosts}",
}


def problem_lines(
    before: Mapping[int, ProblemWord], now: Mapping[int, ProblemWord]
) -> tuple[list[str], list[str]]:
    """
    Return what has begun, for warnings, and what is over.

    One line for each word, however many slots it is about: 2000 damaged ones are a few lines.
    """
    begun: dict[ProblemWord, list[int]] = {}
    ended: dict[ProblemWord, list[int]] = {}
    for slot in before.keys() | now.keys():
        old, new = before.get(slot), now.get(slot)
        if new is not None and new is not old:
            begun.setdefault(new, []).append(slot)
        elif new is None and old is not None:
            ended.setdefault(old, []).append(slot)
    warnings = [
        _line(_BEGINS.get(word, "{slots}: {word}"), word, begun[word]) for word in _in_order(begun)
    ]
    over = [
        _line(_ENDS.get(word, "{slots}: believed again"), word, ended[word])
        for word in _in_order(ended)
    ]
    return warnings, over


def _in_order(words: Iterable[ProblemWord]) -> list[ProblemWord]:
    return sorted(words, key=lambda word: word.value)


def _line(form: str, word: ProblemWord, slots: list[int]) -> str:
    return form.format(slots=slots_text(slots), hosts=hosts_text(slots), word=word.value)
