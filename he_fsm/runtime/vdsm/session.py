"""
What a client says to vdsm over one connection, and what it makes of the frames that come.

The client subscribes to a queue of its own for answers, whose name nobody else knows, and to the
queue of events. vdsm works through a connection's frames in their order, so the subscriptions may
follow CONNECT at once, and calls that are sent after them find them there.
"""

from __future__ import annotations

import uuid
from typing import Final, Optional, Union

import attrs

from he_fsm.errors import HeFsmError
from he_fsm.runtime.vdsm import frames, heartbeats, rpc

REQUESTS: Final = "jms.topic.vdsm_requests"
EVENTS: Final = "jms.queue.events"
VERSION: Final = "1.2"


class SessionError(HeFsmError):
    """The other side is no vdsm, or refuses what was sent: the connection is of no use."""


@attrs.frozen
class Times:
    """
    Times of a client (seconds).

    It sends a heart-beat every `send_every_s`, and promises one every `promised_s`. It wants one
    every `wanted_s`, and gives the connection up when nothing came for `silent_after_s`. Making a
    connection may take `connect_s`; after one that failed the next try waits, `again_s` at first
    and at most `again_max_s`, unless a call asks for it.
    """

    connect_s: float = 5.0
    send_every_s: float = 8.0
    promised_s: float = 20.0
    wanted_s: float = 5.0
    silent_after_s: float = 15.0
    again_s: float = 0.5
    again_max_s: float = 10.0


class Session:
    """One connection's; a new one has new names for everything."""

    def __init__(self, times: Times, *, with_events: bool) -> None:
        self._times = times
        self._with_events = with_events
        self._replies = str(uuid.uuid4())
        # The connection's heart-beats; None: vdsm has not accepted it yet, so no call may be sent.
        self.beats: Optional[heartbeats.Heartbeats] = None

    def opening(self) -> bytes:
        """
        Return the first bytes, which go out in one packet; nothing follows before CONNECTED.

        They are more than the 11 that vdsm waits for. While it finds out by them who is to have the
        connection, two of its threads may read from it, and lose what comes later (vdsm 4.50.7).
        """
        wanted_ms = round(self._times.wanted_s * 1000)
        promised_ms = round(self._times.promised_s * 1000)
        headers = {"accept-version": VERSION, "heart-beat": f"{promised_ms},{wanted_ms}"}
        said = [frames.Frame(frames.CONNECT, headers), _subscribe(self._replies)]
        if self._with_events:
            said.append(_subscribe(EVENTS))
        return b"".join(map(frames.encode, said))

    def call(self, body: bytes) -> bytes:
        """Return the bytes of a call, whose body `rpc.request` made."""
        headers = {
            "destination": REQUESTS,
            "content-type": "application/json",
            "reply-to": self._replies,
        }
        return frames.encode(frames.Frame(frames.SEND, headers, body))

    def take(self, frame: frames.Frame, now: float) -> list[Union[rpc.Answer, rpc.Event]]:
        """
        Return what a frame says.

        Raises:
            SessionError: vdsm refuses something, or this is no vdsm.
            MessageError: one message makes no sense; those after it may.
        """
        if frame.command == frames.ERROR:
            msg = f"vdsm refuses: {frame.body.decode(errors='replace')[:200]}"
            raise SessionError(msg)
        if frame.command == frames.CONNECTED:
            self.beats = self._beats(frame, now)
        elif self.beats is None:
            msg = f"the first frame is {frame.command[:40]}, not {frames.CONNECTED}"
            raise SessionError(msg)
        # A receipt, or what a later version says, answers nothing that was asked.
        return rpc.read(frame.body) if frame.command == frames.MESSAGE else []

    def _beats(self, connected: frames.Frame, now: float) -> heartbeats.Heartbeats:
        version = connected.headers.get("version", VERSION)
        if version != VERSION:
            msg = f"it speaks version {version[:40]} of STOMP, not {VERSION}"
            raise SessionError(msg)
        sends_ms, expects_ms = heartbeats.read_header(connected.headers.get("heart-beat"))
        times = self._times
        send_every_s = min(times.send_every_s, expects_ms / 1000 / 2) if expects_ms else 0.0
        # It may send less often than it was asked to, and two of three may be late.
        silent_after_s = max(times.silent_after_s, 3 * sends_ms / 1000) if sends_ms else 0.0
        return heartbeats.Heartbeats(send_every_s, silent_after_s, now, now)


def _subscribe(destination: str) -> frames.Frame:
    headers = {"destination": destination, "ack": "auto", "id": str(uuid.uuid4())}
    return frames.Frame(frames.SUBSCRIBE, headers)
