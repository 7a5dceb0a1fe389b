"""How the daemons log: one line an event, for the journal or for a terminal."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Mapping
from typing import Callable, Optional, TextIO

import attrs

# Names from other hosts and answers of servers may hold anything; no event may look like two.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# Source: sd-daemon(3), the priorities of syslog(3).
_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_DEBUG_PRIORITY = 7
_REPEAT_S = 900.0


def set_up_logging(
    level: str,
    stream: Optional[TextIO] = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """
    Log from *level* (`debug`, `info`, `warning`, `error`) on to *stream*, standard error if None.

    Libraries are heard from warnings on. Calling it again replaces what was set up before.
    """
    out = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(out)
    handler.setFormatter(LineFormatter(for_journal=is_journal(out, environ)))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("he_fsm").setLevel(level.upper())


def is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """
    Say whether *stream* goes to systemd's journal, which reads priorities and knows the time.

    Source: systemd.exec(5), JOURNAL_STREAM: device and inode of the stream, so that a child
    with another output does not take it for its own.
    """
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def one_line(text: str) -> str:
    """Replace line breaks and other control characters by single spaces."""
    return _CONTROLS.sub(" ", text).strip()


class LineFormatter(logging.Formatter):
    """
    One line an event.

    For the journal each line begins with its priority as `<4>`: the journal knows the time. Else
    it begins with the local time and the level's name. The trace of a bug has its lines, each with
    the same beginning.
    """

    def __init__(self, *, for_journal: bool) -> None:
        super().__init__()
        self._for_journal = for_journal

    def format(self, record: logging.LogRecord) -> str:
        """Return the event's line, or lines where it has a trace."""
        start = self._start(record)
        lines = [one_line(record.getMessage())]
        if record.exc_info:
            lines += self.formatException(record.exc_info).splitlines()
        return "\n".join(start + line for line in lines)

    def _start(self, record: logging.LogRecord) -> str:
        level = record.levelno
        if not self._for_journal:
            at = self.formatTime(record, "%Y-%m-%d %H:%M:%S")
            return f"{at} {logging.getLevelName(level).lower()}: "
        for lowest, priority in _PRIORITIES:
            if level >= lowest:
                return f"<{priority}>"
        return f"<{_DEBUG_PRIORITY}>"


@attrs.define(eq=False)
class _Trouble:
    began_at: float
    said_at: float
    times: int = 1
    times_said: int = 1


class Repeats:
    """
    Complaints that would come with every loop: said at once, then seldom, then that they are over.

    A complaint has a key. The first of a key is logged at once, later ones at most every
    *every_s* seconds with their number, and `end` logs one line if there was anything to end.
    May be used by several threads.
    """

    def __init__(
        self,
        log: logging.Logger,
        every_s: float = _REPEAT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._every_s = every_s
        self._clock = clock
        self._lock = threading.Lock()
        self._troubles: dict[str, _Trouble] = {}

    def complain(
        self,
        key: str,
        message: str,
        *args: object,
        level: int = logging.WARNING,
        exc_info: bool = False,
    ) -> None:
        """
        Log a complaint (a %-format and its arguments), unless it was logged a while ago.

        *exc_info*: with the trace of the exception that is being handled.
        """
        now = self._clock()
        with self._lock:
            trouble = self._troubles.get(key)
            if trouble is None:
                self._troubles[key] = _Trouble(now, now)
                addition = ""
            else:
                trouble.times += 1
                if now - trouble.said_at < self._every_s:
                    return
                since_said = trouble.times - trouble.times_said
                minutes = (now - trouble.said_at) / 60
                addition = f" ({since_said} times in the last {minutes:.0f} min)"
                trouble.said_at, trouble.times_said = now, trouble.times
        self._log.log(level, message + "%s", *args, addition, exc_info=exc_info)

    def end(self, key: str, message: str, *args: object, level: int = logging.INFO) -> None:
        """Log that a trouble is over (a %-format and its arguments), if there was one."""
        now = self._clock()
        with self._lock:
            trouble = self._troubles.pop(key, None)
        if trouble is None:
            return
        times = "once" if trouble.times == 1 else f"{trouble.times} times"
        addition = f" (after {now - trouble.began_at:.0f} s, {times})"
        self._log.log(level, message + "%s", *args, addition)
