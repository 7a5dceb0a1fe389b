"""What was true in a cluster, whatever its hosts believed: for pictures of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

import attrs

# There is one engine and one lease, wherever they are: their changes are not kept by host.
_ONE_FOR_ALL = ("engine", "lease")


@attrs.frozen
class Change:
    """
    A fact that is true from `t` (seconds since the scenario began) to the next one of its kind.

    The kinds and their words:
    `engine`: the engine in the scenario language's words; `host` is where it is.
    `health`: the engine's health page, `good` or `bad`.
    `lease`: `held` by `host`, or None: free.
    `vm`: the VM process on this host, in the words for the engine; None: there is none.
    `state`: the state of this host's agent; None: no agent runs.
    """

    t: float
    kind: str
    host: Optional[str]
    word: Optional[str]


class Truth:
    """Records the changes of one run in the order in which they happen."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self.changes: list[Change] = []
        self._latest: dict[tuple[str, Optional[str]], Change] = {}
        # The hosts on which there is a VM.
        self._with_vm: set[str] = set()

    def show(self, t: float, kind: str, host: Optional[str], word: Optional[str]) -> None:
        """Record a fact, unless it is unchanged."""
        key = (kind, None if kind in _ONE_FOR_ALL else host)
        latest = self._latest.get(key)
        if latest is not None and (latest.host, latest.word) == (host, word):
            return
        self._latest[key] = change = Change(t, kind, host, word)
        self.changes.append(change)

    def show_engine(
        self, t: float, main: Optional[str], words: Mapping[str, str], *, is_good: bool
    ) -> None:
        """
        Record where the engine is, and its condition.

        Args:
            main: host of the VM that counts as the engine; None: there is none.
            words: the word for each VM, by host.
        """
        self.show(t, "health", None, "good" if is_good else "bad")
        self.show(t, "engine", main, "down" if main is None else words[main])
        for host in sorted(self._with_vm.difference(words)):
            self.show(t, "vm", host, None)
        for host, word in words.items():
            self.show(t, "vm", host, word)
        self._with_vm = set(words)
