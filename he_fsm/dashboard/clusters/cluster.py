"""One cluster that is followed: a thread looks, and what has changed goes to all browsers."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from typing import Any, Callable, Final, Optional

import attrs

from he_fsm.dashboard.clusters.board import Board
from he_fsm.dashboard.clusters.course import Course, lanes_of
from he_fsm.dashboard.clusters.happenings import Happening, Looked, happenings
from he_fsm.dashboard.clusters.shown import keys_of
from he_fsm.dashboard.sources.source import Source
from he_fsm.errors import BrokerError, HeFsmError, StorageError
from he_fsm.live.verdict import no_answer, verdict_of
from he_fsm.runtime.service.log import Repeats
from he_fsm.runtime.service.supervised import SupervisedThread
from he_fsm.runtime.service.tasks import keep

_log = logging.getLogger(__name__)
# Without a change, one is looked for after so long: ages and silent hosts tell no change (seconds).
_LOOK_EVERY_S: Final = 5.0
# However much happens, two looks are so far apart (seconds).
_APART_S: Final = 0.2
# A broker that does not answer is asked again after so long (seconds).
_AGAIN_S: Final = 0.5
# A look that takes so long is shown as silence; its storage may hang (seconds).
_HANGS_AFTER_S: Final = 10.0
_HANGS_LOOK_S: Final = 1.0
# How many of the last happenings are shown.
_HAPPENINGS_MAX: Final = 150


class Cluster:
    """
    Follows one source; `board` is what browsers are sent, and belongs to the event loop.

    `key`: its name in addresses.
    """

    def __init__(
        self,
        key: str,
        source: Source,
        *,
        span_s: float,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Look at nothing yet; *span_s*: how much of the past is shown (seconds)."""
        self.key = key
        self.source = source
        self._span_s = span_s
        self._clock = wall_clock
        self._board: Optional[Board] = None
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._closing = threading.Event()
        self._thread = SupervisedThread(f"cluster-{key}", self._follow)
        self._repeats = Repeats(_log)
        # A look that hung may end while it is shown as silence.
        self._guard = threading.Lock()
        self._course = Course(span_s)
        self._shown: deque[tuple[int, Happening]] = deque()
        self._number = 0
        self._last: Optional[Looked] = None
        # Since when a look is under way (monotonic); None: none is.
        self._looking_since: Optional[float] = None
        self._watch: Optional[asyncio.Task[None]] = None
        # Since when the source can't be asked (seconds since 1970).
        self._cut_off_at: Optional[float] = None

    @property
    def board(self) -> Board:
        """What browsers are sent."""
        if self._board is None:
            msg = f"cluster {self.key} is not followed yet"
            raise RuntimeError(msg)
        return self._board

    @property
    def last(self) -> Optional[Looked]:
        """The last look that succeeded; None: there was none."""
        return self._last

    @property
    def is_cut_off(self) -> bool:
        """Whether the source does not answer now."""
        return self._cut_off_at is not None

    def start(self, run: str) -> None:
        """Begin to follow; called in the event loop. *run* names this run of the process."""
        self._loop = asyncio.get_running_loop()
        self._board = Board(run)
        source = self.source
        self._board.put({"source": {"title": source.title, "kind": source.kind}})
        self._thread.start()
        name = f"watch-{self.key}"
        self._watch = asyncio.ensure_future(keep(name, self._watch_for_ever))

    def close(self) -> None:
        """Look no more; a look under way ends by its own deadline."""
        self._closing.set()
        if self._watch is not None:
            self._watch.cancel()
        self._thread.close()

    async def _watch_for_ever(self) -> None:
        """Show a look that hangs: the thread that waits for it can't."""
        while True:
            await asyncio.sleep(_HANGS_LOOK_S)
            since = self._looking_since
            passed_s = 0.0 if since is None else time.monotonic() - since
            if passed_s > _HANGS_AFTER_S and self._cut_off_at is None:
                msg = f"it has not answered for {passed_s:.0f} s; its storage may hang"
                self._note_cut(StorageError(msg))

    # In the thread.

    def _follow(self) -> None:
        if self._last is None:
            # The present first: the past may take a moment to read.
            self._look()
            self._read_past()
        while not self._closing.is_set():
            began_at = time.monotonic()
            try:
                if self._cut_off_at is None:
                    self.source.wait(_LOOK_EVERY_S)
            except HeFsmError as error:
                self._note_cut(error)
            self._closing.wait(max(0.0, began_at + _APART_S - time.monotonic()))
            if self._closing.is_set():
                return
            self._look()
            if self._cut_off_at is not None:
                self._closing.wait(_AGAIN_S)

    def _look(self) -> None:
        self._looking_since = time.monotonic()
        try:
            status = self.source.status()
        except HeFsmError as error:
            self._note_cut(error)
            return
        finally:
            self._looking_since = None
        try:
            with self._guard:
                self._take(status)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # A broker of another release may show a status of another form.
            msg = f"its status can't be used ({type(error).__name__}: {error})"
            self._note_cut(BrokerError(msg))

    def _take(self, status: dict[str, Any]) -> None:
        """Show a status that was read just now."""
        at = self._clock()
        if self._cut_off_at is not None:
            self._repeats.end("source", f"{self.source.title} can be asked again")
        now = Looked(at=at, status=status, verdict=verdict_of(status, at))
        values: dict[str, Any] = keys_of(at, status, now.verdict)
        values["trouble"] = {"text": "", "since": None}
        values.update(self._gone(values))
        values.update(self._tell(happenings(self._last, now)))
        values.update(self._course.add(at, lanes_of(status, now.verdict)))
        self._last, self._cut_off_at = now, None
        self._put(values)

    def _gone(self, values: dict[str, Any]) -> dict[str, None]:
        """Return the hosts that have no slot any more, to be removed."""
        before = () if self._last is None else self._last.status["hosts"]
        return {f"host/{key}": None for key in before if f"host/{key}" not in values}

    def _note_cut(self, error: HeFsmError) -> None:
        """Show that nothing is known from now on; what was known last stays and grows old."""
        with self._guard:
            self._show_cut(error)

    def _show_cut(self, error: HeFsmError) -> None:
        self._repeats.complain("source", "%s can't be asked: %s", self.source.title, error)
        if self._cut_off_at is None:
            self._cut_off_at = self._clock()
        values: dict[str, Any] = {
            "trouble": {"text": str(error), "since": self._cut_off_at},
            **self._course.add(self._clock(), {}),
        }
        if self._last is None:
            values["head"] = {"verdict": no_answer(str(error)).as_json(), "warnings": []}
        self._put(values)

    def _read_past(self) -> None:
        """Put what was kept before the first look in front of it."""
        now = self._last
        since = self._clock() - self._span_s
        course, found = Course(self._span_s), []
        before: Optional[Looked] = None
        lanes: dict[str, Any] = {}
        try:
            for at, status in self.source.past(since):
                if self._closing.is_set():
                    return
                looked = Looked(at=at, status=status, verdict=verdict_of(status, at))
                if now is not None and at >= now.at:
                    break
                if before is not None:
                    found += happenings(before, looked)
                lanes.update(course.add(at, lanes_of(status, looked.verdict)))
                before = looked
        except HeFsmError as error:
            _log.warning("the past of %s is left out: %s", self.source.title, error)
        if before is not None:
            with self._guard:
                self._put_before(now, course, lanes, found)

    def _put_before(
        self,
        now: Optional[Looked],
        course: Course,
        lanes: dict[str, Any],
        found: list[Happening],
    ) -> None:
        """Put lanes and happenings of the past in front of those that are shown."""
        if now is not None:
            lanes.update(course.add(now.at, lanes_of(now.status, now.verdict)))
        self._course = course
        known = {(each.kind, each.text, each.host) for _, each in self._shown}
        older = [each for each in found if (each.kind, each.text, each.host) not in known]
        recent = [each for _, each in self._shown]
        values = {f"event/{number}": None for number, _ in self._shown}
        self._shown.clear()
        merged = sorted([*older, *recent], key=lambda each: each.at)
        values.update(self._tell(merged))
        self._put({**lanes, **values})

    def _tell(self, found: list[Happening]) -> dict[str, Any]:
        """Keep what happened; return what is shown of it, and what is shown no more."""
        values: dict[str, Any] = {}
        for each in found:
            self._number += 1
            self._shown.append((self._number, each))
            values[f"event/{self._number}"] = attrs.asdict(each)
        while len(self._shown) > _HAPPENINGS_MAX:
            number, _ = self._shown.popleft()
            values[f"event/{number}"] = None
        return values

    def _put(self, values: dict[str, Any]) -> None:
        loop, board = self._loop, self._board
        if loop is None or board is None or self._closing.is_set():
            return
        try:
            loop.call_soon_threadsafe(board.put, values)
        except RuntimeError:
            # The event loop has ended; this process is about to.
            self._closing.set()
