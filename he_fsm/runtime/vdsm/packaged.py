"""
The client of oVirt's package vdsm-client, behind the interface of he_fsm's own.

What it lacks is added here (vdsm 4.50.7): it may connect without end, so that is done by a thread;
it gives up, and says nothing, once the server has closed the connection, so that thread asks for a
sign of life and connects anew. Its own reconnect is turned off: it sends calls again whose callers
gave them up, and over TLS it does not work. It knows no other certificates than vdsm's own.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Optional

from he_fsm.runtime.service.log import Repeats
from he_fsm.runtime.service.supervised import SupervisedThread
from he_fsm.runtime.vdsm.calls import Recovery
from he_fsm.runtime.vdsm.connection import Address, Connection, ConnectionLostError, Wake
from he_fsm.runtime.vdsm.interface import (
    ANSWER_S,
    NO_SUCH_METHOD,
    Json,
    Listener,
    VdsmError,
    VdsmSilentError,
    VdsmUnreachableError,
)
from he_fsm.runtime.vdsm.session import EVENTS, Times
from he_fsm.runtime.vdsm.tls import TlsError

_log = logging.getLogger(__name__)

# vdsm's own health check, which does nothing else.
_PING: Final = "Host.ping2"
_CLOSED_S: Final = 5.0
_LOST: Final = "lost"


class PackagedClient:
    """Connects at once, and again, until `close`; see `VdsmClient`."""

    def __init__(
        self,
        library: Any,
        address: Address,
        listener: Optional[Listener] = None,
        *,
        answer_s: float = ANSWER_S,
        times: Optional[Times] = None,
    ) -> None:
        """
        Begin to connect.

        Args:
            library: the module `vdsm.client`.
            address: where vdsm is; with TLS, the certificates are vdsm's own whatever it says.
            listener: has the events; None: nobody wants them.
            answer_s: how long a call may take where its caller says nothing.
            times: those of the connection, as far as the library has them.
        """
        self._library = library
        self._address = address
        self._listener = listener
        self._answer_s = answer_s
        self._times = times or Times()
        self._recovery = Recovery(_log, str(address))
        self._repeats = Repeats(_log)
        # The thread's, which others interrupt.
        self._events: queue.SimpleQueue[Optional[tuple[str, Any]]] = queue.SimpleQueue()
        self._wake = Wake()
        # The library's client, and how many tries to connect have failed; both under the condition.
        self._changed = threading.Condition()
        self._raw: Any = None
        self._failures = 0
        self._trouble = ""
        self._is_suspect = False
        self._thread = SupervisedThread(f"vdsm {address}", self._run)
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
        """End the connection and the thread; calls under way end at their deadlines."""
        self._thread.close()
        self._wake.end()
        self._look_after()
        self._thread.join(_CLOSED_S)
        if not self._thread.is_running:
            self._wake.close()

    def __str__(self) -> str:
        """Return vdsm's place, for people."""
        return str(self._address)

    def _ask(self, method: str, params: Mapping[str, Json], limit_s: float) -> Json:
        ends_at = time.monotonic() + limit_s
        raw = self._connected(method, limit_s)
        try:
            return self._asked(raw, method, params, max(0.0, ends_at - time.monotonic()))
        except VdsmSilentError:
            # Whether it hangs, or the connection is no more, the thread finds out.
            self._is_suspect = True
            self._look_after()
            raise

    def _connected(self, method: str, limit_s: float) -> Any:
        """Return the library's client; the next try to connect settles whether there is one."""
        with self._changed:
            before = self._failures
            if self._raw is None:
                self._wake.now()
            self._changed.wait_for(
                lambda: self._raw is not None or self._failures != before or self._wake.is_over,
                max(0.0, limit_s),
            )
            if self._raw is not None and not self._wake.is_over:
                return self._raw
            why = "this client is closed" if self._wake.is_over else self._trouble
        msg = f"no connection to vdsm at {self}: {why or f'not within {limit_s:.3g} s'}: {method}"
        raise VdsmUnreachableError(msg)

    def _asked(self, raw: Any, method: str, params: Mapping[str, Json], limit_s: float) -> Json:
        """Return what the library's client returns; its errors' texts have the parameters."""
        library = self._library
        namespace, _, verb = method.partition(".")
        # It takes namespaces from its schema, and sends whatever verb it is told.
        known = getattr(raw, namespace, None)
        if known is None:
            raise VdsmError(NO_SUCH_METHOD, f"vdsm's schema knows no {namespace}")
        try:
            return getattr(known, verb)(_timeout=limit_s, **params)
        except library.ServerError as error:
            raise VdsmError(int(error.code), str(error.resp_msg)) from None
        except library.TimeoutError:
            msg = f"vdsm at {self} does not answer within {limit_s:.3g} s: {method}"
            raise VdsmSilentError(msg) from None
        except library.Error as error:
            reason = getattr(error, "reason", type(error).__name__)
            msg = f"{method} may not have reached vdsm at {self}: {reason}"
            raise VdsmSilentError(msg) from None

    def _look_after(self) -> None:
        """Interrupt the thread's wait for events, or for its next try to connect."""
        self._wake.now()
        self._events.put(None)

    # What follows is the thread's.

    def _run(self) -> None:
        again_s = self._times.again_s
        while not self._wake.is_over:
            raw, trouble = self._opened()
            if raw is None:
                self._note_failure(trouble)
                self._wake.wait(again_s)
                again_s = min(2 * again_s, self._times.again_max_s)
                continue
            again_s = self._times.again_s
            try:
                self._note_begin(raw)
                trouble = self._deliver(raw)
            finally:
                self._drop(raw)
            if not self._wake.is_over:
                self._note_failure(trouble)
                if self._listener is not None:
                    self._listener.events_lost(f"the connection was lost: {trouble}")

    def _opened(self) -> tuple[Any, str]:
        """Return the library's client, whose connection works, or why there is none."""
        library = self._library
        try:
            # The library waits without end for a server that is silent. This does not, and it
            # verifies whom it talks to.
            self._probe()
            raw = library.connect(
                self._address.host,
                self._address.port,
                use_tls=self._address.certificates is not None,
                timeout=self._answer_s,
                incoming_heartbeat=round(self._times.silent_after_s * 1000),
                nr_retries=0,
            )
        except (ConnectionLostError, TlsError) as error:
            return None, str(error)
        except library.Error as error:
            return None, str(getattr(error, "reason", error))
        trouble = self._pinged(raw)
        if trouble:
            self._close(raw)
            return None, trouble
        return raw, ""

    def _probe(self) -> None:
        connection = Connection.opened(self._address, self._wake, self._times.connect_s)
        try:
            connection.shake_hands(self._times.connect_s)
        finally:
            connection.close()

    def _pinged(self, raw: Any) -> str:
        """Return why a connection does not work; empty: it does."""
        try:
            self._asked(raw, _PING, {}, self._times.connect_s)
        except VdsmError:
            # Also while it recovers, vdsm has answered.
            return ""
        except VdsmUnreachableError:
            return f"no answer to {_PING} within {self._times.connect_s:g} s"
        return ""

    def _deliver(self, raw: Any) -> str:
        """Hand events on until the connection does not work; return why."""
        if self._listener is not None:
            raw.subscribe(EVENTS, self._events)
            self._listener.events_lost("the connection is new")
        while not self._wake.is_over:
            try:
                said = self._events.get(timeout=self._times.wanted_s)
            except queue.Empty:
                # It does not tell the end of a connection, so it is asked for a sign of life.
                self._is_suspect = True
                said = None
            if said is not None and self._listener is not None:
                name, params = said
                self._listener.event(name, params if isinstance(params, dict) else {})
            elif self._is_suspect:
                self._is_suspect = False
                trouble = self._pinged(raw)
                if trouble:
                    return trouble
        return "this client is closed"

    def _note_begin(self, raw: Any) -> None:
        with self._changed:
            self._raw = raw
            self._changed.notify_all()
        self._repeats.end(_LOST, "vdsm at %s: connected", self)

    def _note_failure(self, why: str) -> None:
        with self._changed:
            self._failures += 1
            self._trouble = why
            self._changed.notify_all()
        self._repeats.complain(_LOST, "no connection to vdsm at %s: %s", self, why)

    def _drop(self, raw: Any) -> None:
        with self._changed:
            self._raw = None
        self._close(raw)
        # What came before the end is as old as what is lost.
        self._events = queue.SimpleQueue()

    def _close(self, raw: Any) -> None:
        # It may be in any state, and its close fails with whatever that state brings.
        with suppress(Exception):
            raw.close()
