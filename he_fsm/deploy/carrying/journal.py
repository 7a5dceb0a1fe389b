"""
What a deployment has made so far, on disk before it is made.

A deployment that fails undoes it; one that was killed is undone by the next run. Each entry says
what kind of thing it is and where, and can be undone more than once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs

from he_fsm.errors import DeployError, cause_of
from he_fsm.files.whole import write_whole

Entry = dict[str, Any]
_FOLDER: Final = "folder"


@attrs.define
class Journal:
    """The entries, oldest first; they are on disk when `will` returns."""

    path: Path
    entries: list[Entry] = attrs.field(factory=list)

    @classmethod
    def left(cls, path: Path) -> Journal:
        """
        Return the journal that an earlier deployment has left; without entries: none has.

        Raises:
            DeployError: it can't be read.
        """
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))["made"]
        except FileNotFoundError:
            return cls(path)
        except NotADirectoryError as error:
            raise _unusable(path, error) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _unusable(path, error) from error
        return cls(path, list(entries))

    def will(self, kind: str, **what: Any) -> None:
        """
        Note something that is about to be made.

        Raises:
            DeployError: it can't be written; nothing may be made then.
        """
        self.entries.append({"kind": kind, **what})
        self._write()

    def forget(self, kind: str) -> None:
        """Forget all entries of a kind: they are in order as they are."""
        self.entries = [each for each in self.entries if each["kind"] != kind]
        self._write()

    def undo(self, undo: Callable[[Entry], None]) -> list[str]:
        """
        Undo what was made, newest first; return what is left, each as a sentence.

        What has to be undone still stays in the journal, for the next run.
        """
        left = []
        kept: list[Entry] = []
        for entry in reversed(self.entries):
            try:
                undo(entry)
            except (DeployError, OSError) as error:
                # A folder in which somebody has put something is in nobody's way.
                if entry["kind"] != _FOLDER:
                    kept.insert(0, entry)
                left.append(cause_of(error))
        self.entries = kept
        if kept:
            self._write_if_possible()
        else:
            self.close()
        return left

    def close(self) -> None:
        """End the journal: nothing is to be undone any more."""
        self.entries = []
        self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        text = json.dumps({"made": self.entries}, indent=1)
        try:
            write_whole(self.path, text.encode(), mode=0o600)
        except OSError as error:
            msg = f"{self.path} can't be written: {error.strerror}"
            raise DeployError(msg) from error

    def _write_if_possible(self) -> None:
        try:
            self._write()
        except DeployError:
            # What is on disk names more than is left, and each entry may be undone twice.
            return


def _unusable(path: Path, error: Exception) -> DeployError:
    msg = (
        f"{path}, which says what an earlier deployment has made, can't be read"
        f" ({cause_of(error)}): look at what is there, and remove it"
    )
    return DeployError(msg)
