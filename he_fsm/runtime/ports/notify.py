"""Notifications: events, and the channels by which people get them."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Protocol

import attrs


@attrs.frozen(kw_only=True)
class Event:
    """
    An edge that a host took, or an alarm that it raised: people may want to be told.

    An alarm has `alarm` (its name, see he_fsm.alarms), how often people have been `told` of it
    before, and whether it `is_over`; an edge has `source`, `to` and `edge`. What the event does not
    have is empty. `notifies`: the decision says that people are told, unless they have chosen for
    themselves.
    """

    subject: str
    host_id: int
    hostname: str
    why: str
    source: str = ""
    to: str = ""
    edge: str = ""
    alarm: str = ""
    told: int = 0
    is_over: bool = False
    notifies: bool = True


class Notifier(Protocol):
    """Tells people; never waits but at its end."""

    def tell(self, event: Event) -> None:
        """Queue one event; it is notified later, in order, or dropped with a line in the log."""

    def close(self, wait_s: float) -> None:
        """Tell what is queued, for *wait_s* seconds at most; then let go."""


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc).astimezone()


def _unique() -> str:
    return uuid.uuid4().hex


@attrs.frozen
class Message:
    """An event to tell, when it was told to us (local time with its zone), and its own id."""

    event: Event
    at: dt.datetime = attrs.field(factory=_now)
    id: str = attrs.field(factory=_unique)


class Channel(Protocol):
    """One way to tell people."""

    @property
    def name(self) -> str:
        """What the log calls it."""

    @property
    def patience_s(self) -> float:
        """For how long a message that could not be told is tried again."""

    def send(self, message: Message) -> None:
        """Tell it, within a time-out of the channel's own; raises `NotifyError`."""

    def probe(self, within_s: float) -> None:
        """See whether it could be told, without telling anything; raises `NotifyError` if not."""
