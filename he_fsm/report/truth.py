"""What was true in a cluster, whatever its hosts believed: for pictures of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

import attrs

# The engine and its lease are one thing each, wherever they are.
_ONE_FOR_ALL = ("engine", "lease")


@attrs.frozen
class Change:
    """
    From `t` on (seconds since the scenario began) something is so, until the next of its kind.

    `kind` and `word`: `engine`: the truth about the engine in the scenario language's words, and
    `host` is where it is; `health`: `good` or `bad`, the engine's page; `lease`: `held` by
    `host`, or None: free; `vm`: the engine's word for the VM process on this host, None without
    one; `state`: what this host's agent does, None while no agent runs.
    """

    t: float
    kind: str
    host: Optional[str]
    word: Optional[str]


class Truth:
    """Keeps the changes of one run, in the order in which they came."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self.changes: list[Change] = []
        self._latest: dict[tuple[str, Optional[str]], Change] = {}
        # The hosts on which there is a VM.
        self._with_vm: set[str] = set()

    def show(self, t: float, kind: str, host: Optional[str], word: Optional[str]) -> None:
        """Note what is so; what was so before is passed over."""
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
        Note where the engine is and how it does.

        Args:
            main: host of the VM that people mean; None: there is none.
            words: the word for each VM, by host.
        """
        self.show(t, "health", None, "good" if is_good else "bad")
        self.show(t, "engine", main, "down" if main is None else words[main])
        for host in sorted(self._with_vm.difference(words)):
            self.show(t, "vm", host, None)
        for host, word in words.items():
            self.show(t, "vm", host, word)
        self._with_vm = set(words)
