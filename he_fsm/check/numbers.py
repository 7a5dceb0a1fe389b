"""Numbers that stand for memories, records, and what loops found and ordered."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterable
from typing import Any

from he_fsm.memory import Memory

# A value and its number.
Numbered = tuple[int, Any]


def number_of(thing: object) -> int:
    """
    Return a number for a value, the same in every process: 62 bits of a digest of its `repr`.

    Among a million values, two share a number with a probability of 1 to 10 million.
    """
    digest = hashlib.blake2b(repr(thing).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2 or 1


_PLAIN_PARTS = operator.attrgetter(
    *(name for name in Memory.beginning(0.0)._asdict() if name != "sightings")
)


def _parts_of(memory: Memory) -> tuple[Any, ...]:
    """Return a memory as a key for look-ups: its mapping has no hash."""
    return _PLAIN_PARTS(memory), tuple(memory.sightings.items())


class Numbers:
    """
    The values of the numbers in states.

    `news`: the numbers and values added since it was last emptied.
    """

    def __init__(self) -> None:
        """Begin without known values."""
        self.known: dict[int, Any] = {}
        self.news: list[Numbered] = []
        self._numbers: dict[Any, int] = {}

    def of(self, thing: Any) -> int:
        """Return the number of a value, and remember the value."""
        key = _parts_of(thing) if isinstance(thing, Memory) else thing
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = number_of(thing)
            if number not in self.known:
                self.known[number] = thing
                self.news.append((number, thing))
        return number

    def learn(self, things: Iterable[Numbered]) -> None:
        """Remember the values that another process has met."""
        known = self.known
        for number, thing in things:
            known.setdefault(number, thing)
