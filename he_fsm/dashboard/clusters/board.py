"""
What the browsers know of a cluster: values by key, each with the version in which it changed.

A browser that has version 7 is sent what has changed since, whatever became of it in between. So a
slow link costs it steps, and nobody keeps a queue for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Optional

import attrs

Delta = dict[str, Any]


@attrs.frozen
class Version:
    """A version of one run of this process: after a restart they begin anew, under another name."""

    run: str
    number: int

    def text(self) -> str:
        """Return the version as browsers send it back (`Last-Event-ID`)."""
        return f"{self.run}-{self.number}"

    @classmethod
    def of(cls, text: str) -> Optional[Version]:
        """Return the version of a text; None: it is none."""
        run, dash, number = text.rpartition("-")
        if not dash or not number.isdecimal() or len(number) > 18:
            return None
        return cls(run, int(number))


class Board:
    """Values by key; belongs to one event loop."""

    def __init__(self, run: str) -> None:
        """Know nothing yet; *run* names this run of the process."""
        self._run = run
        self._number = 0
        # None: the key was removed in that version.
        self._values: dict[str, tuple[int, Any]] = {}
        self._changed = asyncio.Event()

    @property
    def version(self) -> Version:
        """The version that there is now."""
        return Version(self._run, self._number)

    def put(self, values: Mapping[str, Any]) -> None:
        """Take values, None removes one; whoever waits is woken if one of them is another one."""
        number = self._number + 1
        is_new = False
        for key, value in values.items():
            before = self._values.get(key)
            if value == (None if before is None else before[1]):
                continue
            self._values[key] = (number, value)
            is_new = True
        if is_new:
            self._number = number
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    def since(self, version: Optional[Version]) -> Delta:
        """Return what has changed since a version; all that there is where it is of another run."""
        if version is None or version.run != self._run or version.number > self._number:
            return {key: value for key, (_, value) in self._values.items() if value is not None}
        return {
            key: value for key, (number, value) in self._values.items() if number > version.number
        }

    async def changed_since(self, number: int) -> None:
        """Wait until there is another version than that."""
        while self._number == number:
            await self._changed.wait()
