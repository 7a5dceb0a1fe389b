"""
Whether this host is about to be reset by its watchdog, or to lose its host id.

wdmd goes on counting for a sanlock daemon that has ended without giving its lockspace back: the
machine is reset 8 x io_timeout + 50 to 60 s after the last renewal, and a daemon that is started
meanwhile changes nothing. What such a host starts dies with it. The same awaits a host that can't
renew its id any more, or whose id is being taken from it.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, Optional

import attrs

from he_fsm.errors import HeFsmError, LockspaceError
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.daemon.command import DaemonStatus, Leader, Space
from he_fsm.runtime.service.clocks import Clocks
from he_fsm.runtime.service.files import write_json

_log = logging.getLogger(__name__)

ENDED: Final = "sanlock has ended: the watchdog resets this host, even if a new daemon runs"
LOST: Final = "sanlock has lost this host's id, or gives it back: what holds a lease here is ended"
LATE: Final = "this host's id is not renewed any more"
# In I/O timeouts: two renewals that did not come.
_LATE: Final = 4
# Where the start of a process stands in /proc/<pid>/stat, behind its name. Source: proc(5).
_START_TIME: Final = 19


class Doom(NamedTuple):
    """Until when (monotonic clock) this host is doomed, and why."""

    until: float
    why: str


@attrs.frozen
class _Kept:
    """The lockspace as a daemon was last seen to hold it; times are on our own clock."""

    incarnation: int
    has_watchdog: bool
    renewed_at: float


class DoomWatch:
    """
    Follows the daemon of one host from look to look.

    *note* is a file of this boot's: what was found out there outlives this process. What happened
    while nobody looked is read off the lease of the host id, as long as no other daemon has taken
    that anew.
    """

    def __init__(self, rules: Rules, clock_rate: float, note: Optional[Path]) -> None:
        self._rules = rules
        self._rate = clock_rate
        self._note = note
        self._kept: Optional[_Kept] = None
        self._has_looked = False
        self._reset = self._noted()

    def look(
        self,
        daemon: DaemonStatus,
        space: Optional[Space],
        read_lease: Callable[[], Leader],
        *,
        is_leaving: bool,
    ) -> Optional[Doom]:
        """
        Take in what the daemon that runs now says; return what is about to happen.

        Args:
            space: this host's lockspace as the daemon has it.
            read_lease: reads the lease of this host's id from the storage.
            is_leaving: we have told it to give the id back.
        """
        kept = self._kept
        if kept is not None and kept.incarnation != daemon.incarnation:
            self._has_ended(kept, None if space is not None else read_lease)
        elif kept is None and space is None and not self._has_looked:
            self._look_back(daemon, read_lease)
        self._has_looked = True
        self._kept = None
        if space is None:
            return self._current()
        now = time.monotonic()
        age_s = (daemon.now - space.renewed_at) / self._rate
        if not space.is_joining:
            self._kept = _Kept(daemon.incarnation, daemon.has_watchdog, now - age_s)
        current = self._current()
        if current is not None or space.is_joining or is_leaving:
            return current
        why = ""
        if space.is_lost or not space.is_kept:
            why = LOST
        elif daemon.now - space.renewed_at > _LATE * space.io_timeout:
            why = LATE
        return Doom(now - age_s + self._rules.expiry_s, why) if why else None

    def is_gone(self, read_lease: Callable[[], Leader]) -> None:
        """Take note that no daemon runs."""
        kept, self._kept = self._kept, None
        if kept is not None:
            self._has_ended(kept, read_lease)

    def _has_ended(self, kept: _Kept, read_lease: Optional[Callable[[], Leader]]) -> None:
        """Judge the end of a daemon that had the lockspace when it was last seen."""
        if not kept.has_watchdog or (read_lease is not None and _was_given_back(read_lease)):
            return
        now = time.monotonic()
        # The daemon may have renewed once more since then.
        could_renew = now - kept.renewed_at >= self._rules.renewal_s
        self._expect_reset(now if could_renew else kept.renewed_at)

    def _look_back(self, daemon: DaemonStatus, read_lease: Callable[[], Leader]) -> None:
        """
        Find out whether a daemon ended before anybody of ours looked.

        Its lease has the time of its last renewal, on the clock that all daemons of one boot share,
        save in rehearsals, where each has a clock of its own. A time that lies ahead is an earlier
        boot's.
        """
        if not daemon.has_watchdog or self._rate != 1.0:
            return
        try:
            lease = read_lease()
        except LockspaceError:
            return
        age_s = daemon.now - lease.timestamp
        if lease.timestamp == 0 or lease.name != daemon.name or age_s < 0:
            return
        started_at = _started_at(daemon.incarnation)
        if age_s < self._rules.expiry_s and (started_at is None or started_at > lease.timestamp):
            self._expect_reset(time.monotonic() - age_s)

    def _expect_reset(self, renewed_at: float) -> None:
        doom = Doom(renewed_at + self._rules.expiry_s, ENDED)
        now = time.monotonic()
        if doom.until <= now or (self._reset is not None and doom.until <= self._reset.until):
            return
        self._reset = doom
        _log.warning("%s, within %.0f s", doom.why, doom.until - now)
        if self._note is None:
            return
        try:
            write_json(self._note, {"until": doom.until})
        except HeFsmError as error:
            _log.warning("a restart of the broker forgets it: %s", error)

    def _current(self) -> Optional[Doom]:
        """Return the reset that is expected, unless its time is over."""
        if self._reset is not None and time.monotonic() >= self._reset.until:
            self._reset = None
        return self._reset

    def _noted(self) -> Optional[Doom]:
        """Read what an earlier process has noted; a time that can't be is another boot's."""
        if self._note is None:
            return None
        try:
            until = float(json.loads(self._note.read_bytes())["until"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s can't be used: %s", self._note, error)
            return None
        left_s = until - time.monotonic()
        return Doom(until, ENDED) if 0 < left_s <= self._rules.expiry_s else None


def _was_given_back(read_lease: Callable[[], Leader]) -> bool:
    """Whether the host id is nobody's; no, where that can't be read."""
    try:
        return read_lease().timestamp == 0
    except LockspaceError:
        return False


def _started_at(pid: int) -> Optional[float]:
    """Return when a process was started, on the monotonic clock; None: it is not known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        ticks = int(fields.rpartition(")")[2].split()[_START_TIME])
    except (OSError, ValueError, IndexError):
        return None
    return ticks / os.sysconf("SC_CLK_TCK") - Clocks().ahead()
