"""
The results file: each run appends a line when it ends, so that a campaign can be continued.

A line is written with one call. An incomplete last line, left by an interrupted write, is cut off
when the campaign continues, and its run is played again.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import cattrs

from he_fsm.campaign.model import Campaign
from he_fsm.campaign.results import RunResult, run_from_json, run_to_json
from he_fsm.errors import CampaignError

_DESIGN: Final = "design"
# The beginning of each line, which distinguishes an incomplete line from another kind of file.
_BEGINNING: Final = b'{"design": "'


@attrs.define
class Results:
    """The known runs, by variation and seed, and their file, if there is one."""

    runs: dict[tuple[str, int], RunResult] = attrs.field(factory=dict)
    # The fingerprints of the present designs, by the name of the variation.
    _designs: Mapping[str, str] = attrs.field(factory=dict)
    _file: int = -1

    def of(self, campaign: Campaign) -> list[RunResult]:
        """Return the known runs that belong to the campaign."""
        names = {design.variation.name for design in campaign.designs}
        return [
            run
            for run in self.runs.values()
            if run.variation in names and run.seed in campaign.seeds
        ]

    def add(self, runs: Iterable[RunResult]) -> None:
        """Add runs, and write them to the file; known ones are ignored."""
        for run in runs:
            if run.key in self.runs:
                continue
            self.runs[run.key] = run
            if self._file >= 0:
                line = {_DESIGN: self._designs[run.variation], **run_to_json(run)}
                _write_whole(self._file, (json.dumps(line) + "\n").encode())


@contextmanager
def open_results(path: Path, campaign: Campaign) -> Iterator[Results]:
    """
    Open the results file of a campaign, and read its runs.

    Runs of variations that the campaign no longer has stay in the file, but do not count.

    Raises:
        CampaignError: the file can't be read or written, is in use, or has runs of another design.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        msg = f"{path}: can't be opened: {error.strerror}"
        raise CampaignError(msg) from error
    try:
        _lock(file, path)
        designs = {each.variation.name: each.fingerprint for each in campaign.designs}
        found = _read(file, path, designs)
        yield Results({run.key: run for run in found}, designs, file)
    finally:
        os.close(file)


def _lock(file: int, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        msg = f"{path}: another campaign writes to this file"
        raise CampaignError(msg) from error


def _read(file: int, path: Path, designs: Mapping[str, str]) -> list[RunResult]:
    *lines, rest = path.read_bytes().split(b"\n")
    found = [_run(line, f"{path}:{number}", designs) for number, line in enumerate(lines, start=1)]
    if not (_BEGINNING.startswith(rest) or rest.startswith(_BEGINNING)):
        place = f"{path}:{len(lines) + 1}"
        raise _no_run(place)
    os.ftruncate(file, sum(len(line) + 1 for line in lines))
    return [run for run in found if run.variation in designs]


def _run(line: bytes, place: str, designs: Mapping[str, str]) -> RunResult:
    try:
        plain: dict[str, Any] = json.loads(line)
        design = plain.pop(_DESIGN)
        run = run_from_json(plain)
    except (ValueError, KeyError, TypeError, AttributeError, cattrs.BaseValidationError) as error:
        raise _no_run(place) from error
    if designs.get(run.variation, design) != design:
        msg = (
            f"{place}: a run of '{run.variation}' as it was before the campaign was changed; "
            "take another results file"
        )
        raise CampaignError(msg)
    return run


def _no_run(place: str) -> CampaignError:
    msg = f"{place}: not a run of a campaign; is this a results file?"
    return CampaignError(msg)


def _write_whole(file: int, data: bytes) -> None:
    try:
        written = os.write(file, data)
    except OSError as error:
        msg = f"the results can't be written: {error.strerror}"
        raise CampaignError(msg) from error
    if written != len(data):
        msg = "the results can't be written whole: is the disk full?"
        raise CampaignError(msg)
