"""The queues between the loop, which never waits, and the channels, which may."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Callable, Optional

from he_fsm.errors import NotifyError
from he_fsm.runtime.notify.rules import Duplicates, Rule
from he_fsm.runtime.ports import Channel, Event, Message
from he_fsm.runtime.service.log import Repeats

_log = logging.getLogger(__name__)

_QUEUE_MAX = 100
_RETRY_S = 5.0
_RETRY_MAX_S = 300.0


class QueuedNotifier:
    """
    Tells the events that *rule* wants by every channel, each of which has a queue and a thread.

    A full queue loses its oldest message. A channel that fails is tried again after *retry_s*,
    then after twice as long each time, up to 5 minutes, until its patience is over; then the
    message is given up with one line in the log.
    """

    def __init__(
        self,
        channels: Iterable[Channel],
        rule: Rule,
        *,
        queue_max: int = _QUEUE_MAX,
        retry_s: float = _RETRY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rule = rule
        self._lock = threading.Lock()
        self._duplicates = Duplicates(clock)
        self._workers = [_Worker(channel, queue_max, retry_s, clock) for channel in channels]
        for worker in self._workers:
            worker.start()

    def tell(self, event: Event) -> None:
        """Queue one event for those channels; never waits for one."""
        if not self._rule.wants(event):
            return
        with self._lock:
            is_news = self._duplicates.is_news(event)
        if not is_news:
            return
        message = Message(event)
        for worker in self._workers:
            worker.put(message)

    def close(self, wait_s: float = 5.0) -> None:
        """Tell what is queued, for *wait_s* seconds at most; then let go."""
        ends_at = time.monotonic() + wait_s
        for worker in self._workers:
            worker.finish()
        for worker in self._workers:
            worker.join(max(0.0, ends_at - time.monotonic()))
        for worker in self._workers:
            worker.abandon()


def send_test(
    channels: Iterable[Channel], host_id: int, hostname: str
) -> Mapping[str, Optional[str]]:
    """
    Send a test message by each channel, at once and once.

    Returns for each channel's name None if the message was sent, else why not.
    """
    event = Event(
        subject="test of the notifications",
        host_id=host_id,
        hostname=hostname,
        source="Test",
        to="Test",
        edge="test",
        why="somebody asked for a test message; nothing has happened",
    )
    return {each.name: _fault(functools.partial(each.send, Message(event))) for each in channels}


def probed(channels: Iterable[Channel], within_s: float) -> Mapping[str, Optional[str]]:
    """
    See whether each channel would take a message; nothing is sent.

    Returns for each channel's name None if it would, else why not. *within_s* is for each step of
    a dialogue.
    """
    return {each.name: _fault(functools.partial(each.probe, within_s)) for each in channels}


def _fault(deed: Callable[[], None]) -> Optional[str]:
    try:
        deed()
    except NotifyError as error:
        return str(error)
    return None


class _Worker(threading.Thread):
    """One channel's queue and thread; a daemon thread: people wait, the process does not."""

    def __init__(
        self, channel: Channel, queue_max: int, retry_s: float, clock: Callable[[], float]
    ) -> None:
        super().__init__(name=f"he-fsm notify {channel.name}", daemon=True)
        self._channel = channel
        self._retry_s = retry_s
        self._queue_max = queue_max
        self._clock = clock
        self._repeats = Repeats(_log, clock=clock)
        self._changed = threading.Condition()
        # Messages and when they were queued; the first one is being told.
        self._queue: deque[tuple[Message, float]] = deque()
        self._is_finishing = False
        self._is_abandoned = False

    def put(self, message: Message) -> None:
        with self._changed:
            lost = len(self._queue) >= self._queue_max
            if lost:
                self._queue.popleft()
            self._queue.append((message, self._clock()))
            self._changed.notify()
        if lost:
            self._repeats.complain(
                "queue",
                "%s: more than %d messages wait; the oldest are not sent",
                self._channel.name,
                self._queue_max,
            )

    def finish(self) -> None:
        """End when the queue is empty."""
        with self._changed:
            self._is_finishing = True
            self._changed.notify()

    def abandon(self) -> None:
        """End now, or with the call that is under way."""
        with self._changed:
            self._is_abandoned = True
            left = len(self._queue)
            self._queue.clear()
            self._changed.notify()
        if left:
            _log.warning("%s: %d messages are not sent: stopped", self._channel.name, left)

    def run(self) -> None:
        wait_s = self._retry_s
        while True:
            first = self._first()
            if first is None:
                return
            message, queued_at = first
            error = self._send(message)
            if error is None:
                wait_s = self._retry_s
                self._repeats.end("send", "%s: messages are sent again", self._channel.name)
                self._repeats.end("queue", "%s: the queue has room again", self._channel.name)
                self._drop(message)
                continue
            waited_s = self._clock() - queued_at
            if not error.can_retry or waited_s + wait_s > self._channel.patience_s:
                self._give_up(message, error)
                continue
            self._repeats.complain(
                "send", "%s: %s; tried again in %g s", self._channel.name, error, wait_s
            )
            self._rest(wait_s)
            wait_s = min(2 * wait_s, _RETRY_MAX_S)

    def _first(self) -> Optional[tuple[Message, float]]:
        with self._changed:
            while not self._queue:
                if self._is_finishing or self._is_abandoned:
                    return None
                self._changed.wait()
            return self._queue[0]

    def _send(self, message: Message) -> Optional[NotifyError]:
        try:
            self._channel.send(message)
        except NotifyError as error:
            return error
        except Exception:  # noqa: BLE001 - see below
            # A bug in one channel must not silence the others, nor this one for good.
            _log.exception("%s has a bug", self._channel.name)
            return NotifyError("a bug; see the log", can_retry=False)
        return None

    def _give_up(self, message: Message, error: NotifyError) -> None:
        event = message.event
        _log.error(
            "%s: not sent and given up: %s of %s: %s",
            self._channel.name,
            event.subject,
            event.hostname,
            error,
        )
        self._drop(message)

    def _drop(self, message: Message) -> None:
        """Take a message that is done off the queue, unless the queue lost it meanwhile."""
        with self._changed:
            if self._queue and self._queue[0][0] is message:
                self._queue.popleft()

    def _rest(self, wait_s: float) -> None:
        ends_at = time.monotonic() + wait_s
        with self._changed:
            while not self._is_abandoned:
                left_s = ends_at - time.monotonic()
                if left_s <= 0:
                    return
                self._changed.wait(left_s)
