"""What a way to tell people looks like."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Protocol

import attrs

from he_fsm.runtime.ports import Event


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
