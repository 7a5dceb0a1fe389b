"""
he_fsm's own client of vdsm, for hosts without the package vdsm-client.

One thread owns the connection: it connects, sends, reads, looks after heart-beats, and connects
again. Whoever makes a call gives it to that thread and waits, with a deadline. A call is sent once,
over one connection; after the connection was lost nobody knows what became of those under way, so
they fail, and are not repeated.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Mapping
from typing import Final, Optional, Union

from he_fsm.runtime.service.log import Repeats
from he_fsm.runtime.service.supervised import SupervisedThread
from he_fsm.runtime.vdsm import rpc
from he_fsm.runtime.vdsm.calls import Call, Calls, Recovery
from he_fsm.runtime.vdsm.connection import Address, Connection, ConnectionLostError, Wake
from he_fsm.runtime.vdsm.frames import HEARTBEAT
from he_fsm.runtime.vdsm.heartbeats import Heartbeats
from he_fsm.runtime.vdsm.interface import (
    ANSWER_S,
    Json,
    Listener,
    VdsmUnreachableError,
)
from he_fsm.runtime.vdsm.rpc import Answer, Event, MessageError
from he_fsm.runtime.vdsm.session import Session, SessionError, Times
from he_fsm.runtime.vdsm.tls import TlsError

_log = logging.getLogger(__name__)

# Without heart-beats there is nothing to do for so long (seconds).
_IDLE_S: Final = 30.0
# How long `close` waits for the thread, which may ask a name server (seconds).
_CLOSED_S: Final = 5.0
_LOST: Final = "lost"


class OwnClient:
    """Connects at once, and again, until `close`; see `VdsmClient`."""

    def __init__(
        self,
        address: Optional[Address] = None,
        listener: Optional[Listener] = None,
        *,
        answer_s: float = ANSWER_S,
        times: Optional[Times] = None,
    ) -> None:
        """
        Begin to connect.

        Args:
            address: where vdsm is; None: this host's, with vdsm's certificates.
            listener: has the events; None: nobody wants them.
            answer_s: how long a call may take where its caller says nothing.
            times: those of the connection.
        """
        self._address = address or Address()
        self._listener = listener
        self._answer_s = answer_s
        self._times = times or Times()
        self._calls = Calls()
        self._recovery = Recovery(_log, str(self._address))
        self._wake = Wake()
        self._repeats = Repeats(_log)
        # Of the thread: why there is no connection; empty: there is one, or the first try runs.
        self._trouble = ""
        self._is_connected = False
        self._ident = 0
        self._again_s = self._times.again_s
        self._thread = SupervisedThread(f"vdsm {self._address}", self._run)
        self._thread.start()

    def call(
        self,
        method: str,
        params: Optional[Mapping[str, Json]] = None,
        timeout_s: Optional[float] = None,
    ) -> Json:
        """Return the result of a verb, at the deadline at the latest."""
        limit_s = self._answer_s if timeout_s is None else timeout_s
        return self._recovery.call(lambda left_s: self._ask(method, params or {}, left_s), limit_s)

    def close(self) -> None:
        """End the connection and the thread; calls under way fail."""
        self._thread.close()
        self._wake.end()
        self._thread.join(_CLOSED_S)
        self._calls.fail(f"no connection to vdsm at {self}: this client is closed")
        if not self._thread.is_running:
            self._wake.close()

    def __str__(self) -> str:
        """Return vdsm's place, for people."""
        return str(self._address)

    def _ask(self, method: str, params: Mapping[str, Json], limit_s: float) -> Json:
        if self._wake.is_over:
            msg = "this client is closed"
            raise VdsmUnreachableError(msg)
        if threading.get_ident() == self._ident:
            msg = "a listener makes no calls: the thread that it holds up would have the answer"
            raise RuntimeError(msg)
        call_id = str(uuid.uuid4())
        call = Call(method, call_id, rpc.request(call_id, method, params))
        self._calls.add(call)
        self._wake.now()
        return self._calls.wait(call, limit_s, str(self))

    # What follows is the thread's.

    def _run(self) -> None:
        self._ident = threading.get_ident()
        while not self._wake.is_over:
            began_at = time.monotonic()
            try:
                self._serve()
            except (ConnectionLostError, SessionError, TlsError) as error:
                self._note_loss(str(error))
            finally:
                # Also when the thread is about to begin anew: nobody waits for what is lost.
                why = "this client is closed" if self._wake.is_over else self._trouble
                self._calls.fail(f"no connection to vdsm at {self}: {why or 'see the log'}")
            if time.monotonic() - began_at > self._times.again_max_s:
                self._again_s = self._times.again_s
            # A call ends the wait.
            if not self._wake.is_over:
                self._wake.wait(self._again_s)
            self._again_s = min(2 * self._again_s, self._times.again_max_s)

    def _serve(self) -> None:
        """Make a connection, and use it until this client is closed; its end is an exception."""
        accepted_by = time.monotonic() + self._times.connect_s
        connection = Connection.opened(self._address, self._wake, self._times.connect_s)
        session = Session(self._times, with_events=self._listener is not None)
        try:
            connection.send(session.opening())
            while not self._wake.is_over:
                self._wait(connection, session.beats, accepted_by)
                self._read(connection, session)
                self._write(connection, session)
        finally:
            connection.close()

    def _wait(
        self, connection: Connection, beats: Optional[Heartbeats], accepted_by: float
    ) -> None:
        now = time.monotonic()
        if beats is not None:
            connection.wait(beats.next_s(now, _IDLE_S))
            return
        if now >= accepted_by:
            msg = f"vdsm does not accept the connection within {self._times.connect_s:g} s"
            raise ConnectionLostError(msg)
        connection.wait(accepted_by - now)

    def _read(self, connection: Connection, session: Session) -> None:
        found = connection.receive()
        now = time.monotonic()
        for frame in found or ():
            was_accepted = session.beats is not None
            try:
                said = session.take(frame, now)
            except MessageError as error:
                self._repeats.complain("message", "vdsm at %s: %s", self, error)
                continue
            if session.beats is not None and not was_accepted:
                self._note_begin()
            for each in said:
                self._take(each)
        beats = session.beats
        if beats is None:
            return
        if found is not None:
            beats.heard(now)
        elif beats.is_silent(now):
            msg = f"nothing came for {now - beats.heard_at:.0f} s, not even a heart-beat"
            raise ConnectionLostError(msg)

    def _write(self, connection: Connection, session: Session) -> None:
        connection.flush()
        beats = session.beats
        # What the system does not take now stays a call that was not sent, and can be given up.
        while beats is not None and not connection.has_unsent:
            call = self._calls.next_to_send()
            if call is not None:
                connection.send(session.call(call.body))
            elif beats.is_due(time.monotonic()):
                connection.send(HEARTBEAT)
            else:
                return
            beats.sent(time.monotonic())

    def _take(self, said: Union[Answer, Event]) -> None:
        if isinstance(said, Event):
            if self._listener is not None:
                self._listener.event(said.name, said.params)
        elif not self._calls.answered(said) and said.call_id is None and said.error is not None:
            # Which call it was vdsm could not tell; that one ends at its deadline.
            self._repeats.complain(
                "refused", "vdsm at %s could not read a call: %s", self, said.error
            )

    def _note_begin(self) -> None:
        self._is_connected = True
        self._trouble = ""
        self._repeats.end(_LOST, "vdsm at %s: connected", self)
        if self._listener is not None:
            self._listener.events_lost("the connection is new")

    def _note_loss(self, why: str) -> None:
        self._trouble = why
        self._repeats.complain(_LOST, "no connection to vdsm at %s: %s", self, why)
        if self._is_connected and self._listener is not None:
            self._listener.events_lost(f"the connection was lost: {why}")
        self._is_connected = False
