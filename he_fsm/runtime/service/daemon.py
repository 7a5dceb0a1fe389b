"""What both daemons do alike: signals, one process a host, reloads, exit statuses."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Optional

import attrs

from he_fsm.errors import ConfigError, HeFsmError
from he_fsm.runtime.config import Config, load_config
from he_fsm.runtime.service.supervised import SupervisedThread

# Signals that are read at once.
_NUMBERS_MAX = 64
EXIT_OK = 0
# A bug, or something that the system refused; the log says what.
EXIT_FAILED = 1
# A newer release has taken over: starting this one again would change nothing.
EXIT_SUPERSEDED = 3
# Another process does this work for this host already, or its socket can't be made.
EXIT_BUSY = 4
# Keys that a reload renews. Processes that already run have the values of all others.
_RENEWED = frozenset(("engine", "monitors", "notify", "policy", "log", "ovirt", "others"))
_FIXED_POLICY = ("io_timeout_s", "watchdog_s")


def ended(log: logging.Logger, name: str, run: Callable[[], int]) -> int:
    """Return what *run* returns; a bug in daemon *name* is `EXIT_FAILED`, its trace is logged."""
    try:
        return run()
    except HeFsmError as error:
        log.error("%s", error)  # noqa: TRY400 - a sentence is enough
    except Exception:
        log.exception("the %s ends by a bug", name)
    return EXIT_FAILED


class Signals:
    """
    SIGTERM and SIGINT ask to end, SIGHUP to reload; whoever waits is woken.

    A handler runs between two instructions of the main thread, which may hold any lock, also that
    of an event that it is just setting. So the handlers only note what was asked. The interpreter
    writes each signal's number to a pipe, and a thread that reads it calls *wake*.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        """Take the signals over; only in the main thread."""
        self.wants_end = False
        self._wants_reload = False
        self._wake = wake
        self._numbers, arrivals = os.pipe()
        os.set_blocking(arrivals, False)
        signal.set_wakeup_fd(arrivals, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        signal.signal(signal.SIGHUP, self._reload)
        SupervisedThread("signals", self._hear).start()

    def _hear(self) -> None:
        while os.read(self._numbers, _NUMBERS_MAX):
            self._wake()

    def _end(self, _: int, __: Optional[FrameType]) -> None:
        self.wants_end = True

    def _reload(self, _: int, __: Optional[FrameType]) -> None:
        self._wants_reload = True

    def take_reload(self) -> bool:
        """Say whether a reload was asked for since the last call."""
        asked, self._wants_reload = self._wants_reload, False
        return asked


def reloaded(path: Path, before: Config) -> Config:
    """
    Read the configuration again, for a process that goes on.

    Raises:
        ConfigError: it can't be used, or something has changed that a reload can't change.
    """
    after = load_config(path)
    keys = [field.name for field in attrs.fields(Config) if field.eq and field.name not in _RENEWED]
    # How much a host is liked may change at any time; who it is may not.
    same = attrs.evolve(before, host=attrs.evolve(before.host, preference=after.host.preference))
    changed = [key for key in keys if getattr(after, key) != getattr(same, key)]
    sections = sorted({*before.others, *after.others})
    changed += [name for name in sections if after.others.get(name) != before.others.get(name)]
    changed += [
        f"policy.{key}"
        for key in _FIXED_POLICY
        if getattr(after.policy, key) != getattr(before.policy, key)
    ]
    if changed:
        msg = f"{path}: another {', '.join(changed)} needs a restart of agent and broker"
        raise ConfigError(msg)
    return after
