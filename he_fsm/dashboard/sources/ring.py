"""The past of a host, as its agent has kept it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Final

from he_fsm.dashboard.sources.of_look import LookReader
from he_fsm.dashboard.sources.source import Moment
from he_fsm.errors import HeFsmError
from he_fsm.history.book import Recorded, read
from he_fsm.history.frames import Damage
from he_fsm.runtime.config import Config
from he_fsm.runtime.history.ring import FOLDER, RingFile, ring_files

_log = logging.getLogger(__name__)
# With each host beyond so many, the looks that are shown are so much further apart (seconds).
_FEW: Final = 25
_APART_S: Final = 0.4


def kept_moments(config: Config, since: float) -> Iterator[Moment]:
    """
    Return what this host has seen from a time on (seconds since 1970), the oldest first.

    Files that end before that time are read as far as their first look. What is damaged, or was
    removed by the agent meanwhile, is left out. Of a large cluster only some of the looks are
    returned, and all with an edge.

    Raises:
        HeFsmError: the folder can't be read.
    """
    files = ring_files(config.state_dir / FOLDER)
    reader, next_at = LookReader(), since
    for file in files[_first_needed(files, since) :]:
        for found in _looks(file):
            seen = found.look.seen
            reader.take(found)
            if seen.wall_at < next_at and found.look.decided.edge is None:
                continue
            if seen.wall_at >= since:
                hosts = 0 if seen.whiteboard is None else len(seen.whiteboard.slots)
                next_at = seen.wall_at + max(0, hosts - _FEW) * _APART_S
                yield Moment(seen.wall_at, reader.status())


def _first_needed(files: Sequence[RingFile], since: float) -> int:
    """Return the place of the last file that begins before that time."""
    for place in range(len(files) - 1, 0, -1):
        first = next(_looks(files[place]), None)
        if first is not None and first.look.seen.wall_at <= since:
            return place
    return 0


def _looks(file: RingFile) -> Iterator[Recorded]:
    try:
        data = file.path.read_bytes()
    except OSError as error:
        _log.info("%s is left out: %s", file.path, error.strerror)
        return
    try:
        for found in read(data):
            if not isinstance(found, Damage):
                yield found
    except HeFsmError as error:
        _log.warning("%s is left out from here on: %s", file.path, error)
