"""
Keeps the looks of an agent, in a thread of its own: the loop waits for nothing.

What can't be kept is counted and said once, and the agent goes on; after a while it is tried anew.
"""

from __future__ import annotations

import collections
import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Optional, Union

from he_fsm.errors import HeFsmError
from he_fsm.history.book import Writer
from he_fsm.history.look import Look, Session
from he_fsm.metadata.layout import RELEASE
from he_fsm.policy import Policy
from he_fsm.runtime.agent.memory_file import boot_id
from he_fsm.runtime.config import Config
from he_fsm.runtime.history.ring import FOLDER, Limits, Ring
from he_fsm.runtime.service.log import Repeats
from he_fsm.runtime.service.supervised import SupervisedThread
from he_fsm.tick import Identity

_log = logging.getLogger(__name__)
# A disk that hangs for longer costs looks, and not this process's memory.
_WAITING_MAX: Final = 256
# After trouble it is tried anew (seconds).
_AGAIN_S: Final = 60.0
# What nobody would miss is on the disk at the latest then (seconds).
_SYNC_S: Final = 60.0
# How long the end of an agent may wait for its last looks (seconds).
_CLOSE_S: Final = 2.0


def session_of(identity: Identity, policy: Policy) -> Session:
    """Return who decides here, in this boot of the machine, by this release."""
    return Session(identity=identity, policy=policy, program=RELEASE, boot=boot_id())


def make_keeper(config: Config, identity: Identity) -> Optional[Keeper]:
    """Make what keeps this host's looks; None: the configuration wants none kept."""
    history = config.history
    if not history.size_mib:
        return None
    limits = Limits(bytes_max=history.size_mib * 2**20, looks_max=history.looks)
    ring = Ring(config.state_dir / FOLDER, limits)
    return Keeper(ring, session_of(identity, config.policy))


class Keeper:
    """Takes looks from the loop, and writes them to a ring of files."""

    def __init__(
        self,
        ring: Ring,
        session: Session,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the parts; nothing is written before `start`."""
        self._ring = ring
        # Of the looks that are written now.
        self._session = session
        self._clock = clock
        self._repeats = Repeats(_log, clock=clock)
        self._waiting: collections.deque[Union[Look, Session]] = collections.deque()
        self._woken = threading.Event()
        self._is_closing = False
        self._lock = threading.Lock()
        # Looks that came while too many waited, or could not be written.
        self._lost = 0
        self._writer: Optional[Writer] = None
        self._again_at = 0.0
        self._synced_at = 0.0
        self._thread = SupervisedThread("history", self._work)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def take(self, look: Look) -> None:
        """Keep a look; it is written soon after, and the caller does not wait."""
        with self._lock:
            if len(self._waiting) >= _WAITING_MAX:
                self._lost += 1
                return
            self._waiting.append(look)
        self._woken.set()

    def renew(self, session: Session) -> None:
        """Note that the looks from now on are of another session."""
        with self._lock:
            self._waiting.append(session)

    def close(self, limit_s: float = _CLOSE_S) -> None:
        """Write what waits, and end; a disk that hangs is waited for so long at most."""
        self._is_closing = True
        self._woken.set()
        self._thread.join(limit_s)
        self._thread.close()

    def _work(self) -> None:
        # After a bug it is not known how far the last look came.
        self._writer = None
        while True:
            self._woken.wait()
            self._woken.clear()
            self._write_waiting()
            if self._is_closing:
                self._end()
                return

    def _write_waiting(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    return
                found = self._waiting.popleft()
            if isinstance(found, Session):
                self._session = found
                if self._writer is not None:
                    self._writer.begin_anew(found)
            else:
                self._write(found)

    def _write(self, look: Look) -> None:
        if self._writer is None and self._clock() < self._again_at:
            self._lose()
            return
        try:
            writer = self._writer = self._writer or self._begun()
            self._append(writer, look)
        except (OSError, HeFsmError) as error:
            self._writer = None
            self._again_at = self._clock() + _AGAIN_S
            self._lose()
            why = error.strerror if isinstance(error, OSError) else error
            self._repeats.complain("history", "this host's decisions are not kept: %s", why)
        else:
            self._repeats.end("history", "this host's decisions are kept again")

    def _begun(self) -> Writer:
        number = self._ring.open() + 1
        if self._ring.torn_bytes:
            _log.info("history: %d bytes were torn, and are left out", self._ring.torn_bytes)
            self._ring.torn_bytes = 0
        return Writer(self._session, number)

    def _append(self, writer: Writer, look: Look) -> None:
        number = writer.number
        begins = self._ring.needs_key(number)
        if begins:
            writer.begin_anew()
        with self._lock:
            lost, self._lost = self._lost, 0
        if lost:
            writer.begin_anew()
            writer.lost = lost
        try:
            self._ring.append(number, writer.frame(look), begins=begins)
        except OSError:
            self._lose(lost)
            raise
        decided = look.decided
        if (
            decided.edge is not None
            or decided.effects
            or self._clock() >= self._synced_at + _SYNC_S
        ):
            self._sync()

    def _sync(self) -> None:
        self._synced_at = self._clock()
        try:
            self._ring.sync()
        except OSError as error:
            why = "a loss of power would cost this host's last decisions: %s"
            self._repeats.complain("sync", why, error.strerror)
        else:
            self._repeats.end("sync", "this host's decisions outlast a loss of power again")

    def _lose(self, count: int = 1) -> None:
        with self._lock:
            self._lost += count

    def _end(self) -> None:
        self._sync()
        self._ring.close()
