"""
The embedded hypervisor's fault switches, for rehearsals: `faults.json` of a host's run folder.

A JSON object of words, each as the scenario language has it:

    starts      ok, fail, or "fail N": the next N starts fail, each after its start time
    boots       ok, never (the health page never comes), or "die N": the VM dies N seconds after
                it began to run
    migrations  ok, fail, "fail N", or hang: migrations from this host fail when their time has
                passed, or never end
    hypervisor  ok, or lost: the agent can ask nothing about its VM and order nothing

`starts` and `boots` are read at each start, `migrations` at each migration away from the host, and
`hypervisor` at each question. A file that is missing or damaged switches nothing.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path

from he_fsm.runtime.service.files import replace_json
from he_fsm.runtime.service.lock import locked

OK, FAIL, HANG, NEVER, DIE, LOST = "ok", "fail", "hang", "never", "die", "lost"


class Faults:
    """The switches of one run folder."""

    def __init__(self, run_dir: Path) -> None:
        """Use the folder *run_dir*."""
        self._path = run_dir / "faults.json"

    def read(self, switch: str) -> str:
        """Return a switch's words."""
        return self._all().get(switch, OK)

    def set(self, **words: str) -> None:
        """Set switches; the others stay."""
        with self._locked():
            replace_json(self._path, {**self._all(), **words})

    def take(self, switch: str) -> str:
        """Return how this one trial goes (ok, fail or hang), and count a `fail N` down."""
        with self._locked():
            switches = self._all()
            word, _, count = switches.get(switch, OK).partition(" ")
            if not count:
                return word
            left = int(count) - 1
            replace_json(self._path, {**switches, switch: f"{word} {left}" if left > 0 else OK})
            return word if left >= 0 else OK

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self._path.with_suffix(".lock"))

    def _all(self) -> dict[str, str]:
        try:
            switches = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(switches, dict):
            return {}
        return {str(name): str(words) for name, words in switches.items()}
