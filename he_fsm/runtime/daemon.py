"""What both daemons do alike: arguments, signals, one process a host, reloads, exit statuses."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Optional

import attrs

from he_fsm.errors import ConfigError, HeFsmError
from he_fsm.runtime.config import DEFAULT_PATH, Config, load_config

EXIT_OK = 0
# A bug, or something that the system refused; the log says what.
EXIT_FAILED = 1
EXIT_CONFIG = 2
# A newer release has taken over: starting this one again would change nothing.
EXIT_SUPERSEDED = 3
# Another process does this work for this host already, or its socket can't be made.
EXIT_BUSY = 4

_STATUSES = """\
exit statuses:
  0  ended by SIGTERM or SIGINT
  1  a bug, or something that the system refused; the log says what
  2  the configuration or the command line can't be used
  3  superseded: a newer release writes the whiteboard
  4  another process does this for this host already, or its files can't be made
"""
# Keys that a reload leaves alone: processes that already run have their values.
_FIXED = (
    *("host", "run_dir", "state_dir", "group", "broker", "storage", "leases", "sanlock"),
    *("hypervisor", "parse_version"),
)
_FIXED_POLICY = ("io_timeout_s", "watchdog_s")


def argument_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Give the parser of the arguments that both daemons have."""
    parser = argparse.ArgumentParser(
        prog=name,
        description=description,
        epilog=_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=DEFAULT_PATH,
        metavar="FILE",
        help="the configuration; usually %(default)s",
    )
    parser.add_argument(
        "--check-config",
        action="store_true",
        help="read the configuration, say whether it can be used, and end",
    )
    return parser


class Signals:
    """
    SIGTERM and SIGINT ask to end, SIGHUP to reload; whoever waits is woken.

    Nothing is done in the handler itself, so that no work is torn in the middle.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        """Take the signals over; only in the main thread."""
        self.wants_end = threading.Event()
        self._wants_reload = threading.Event()
        self._wake = wake
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        signal.signal(signal.SIGHUP, self._reload)

    def _end(self, _: int, __: Optional[FrameType]) -> None:
        self.wants_end.set()
        self._wake()

    def _reload(self, _: int, __: Optional[FrameType]) -> None:
        self._wants_reload.set()
        self._wake()

    def take_reload(self) -> bool:
        """Say whether a reload was asked for since the last call."""
        asked = self._wants_reload.is_set()
        self._wants_reload.clear()
        return asked


@attrs.frozen
class Claim:
    """A lock file that this process holds; the kernel lets it go with the process."""

    descriptor: int

    @classmethod
    def take(cls, path: Path, what: str) -> Claim:
        """
        Be the only process that does *what* with the file *path*.

        Raises:
            HeFsmError: another one is, or the file can't be made.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            msg = f"can't make {path}: {error.strerror}"
            raise HeFsmError(msg) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            msg = f"another {what} runs here: it holds {path}"
            raise HeFsmError(msg) from error
        return cls(descriptor)

    def release(self) -> None:
        """Let another process have it; the file stays, so that nobody locks one that is gone."""
        os.close(self.descriptor)


def reloaded(path: Path, before: Config) -> Config:
    """
    Read the configuration again, for a process that goes on.

    Raises:
        ConfigError: it can't be used, or something has changed that a reload can't change.
    """
    after = load_config(path)
    changed = [key for key in _FIXED if getattr(after, key) != getattr(before, key)]
    changed += [
        f"policy.{key}"
        for key in _FIXED_POLICY
        if getattr(after.policy, key) != getattr(before.policy, key)
    ]
    if changed:
        msg = f"{path}: another {', '.join(changed)} needs a restart of agent and broker"
        raise ConfigError(msg)
    return after
