"""The calls of a client: those that wait to be sent, those that wait, those that are repeated."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Optional

import attrs

from he_fsm.errors import HypervisorError
from he_fsm.runtime.service.log import Repeats
from he_fsm.runtime.vdsm.interface import (
    RECOVERING,
    Json,
    VdsmError,
    VdsmSilentError,
    VdsmUnreachableError,
)
from he_fsm.runtime.vdsm.rpc import Answer

# How long vdsm is left alone while it recovers (seconds).
_RECOVERS_S: Final = 0.5


@attrs.define(eq=False)
class Call:
    """One call: its body as `rpc.request` makes it, and its outcome once that is known."""

    method: str
    call_id: str
    body: bytes
    result: Json = None
    error: Optional[HypervisorError] = None
    is_over: threading.Event = attrs.field(factory=threading.Event)

    def end(self, result: Json = None, error: Optional[HypervisorError] = None) -> None:
        """Note the outcome, and wake the thread that waits."""
        self.result, self.error = result, error
        self.is_over.set()


class Calls:
    """May be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._to_send: deque[Call] = deque()
        self._sent: dict[str, Call] = {}

    def add(self, call: Call) -> None:
        """Have a call sent."""
        with self._lock:
            self._to_send.append(call)

    def next_to_send(self) -> Optional[Call]:
        """Return the call that is sent now, which counts as sent; None: there is none."""
        with self._lock:
            if not self._to_send:
                return None
            call = self._to_send.popleft()
            self._sent[call.call_id] = call
            return call

    def answered(self, answer: Answer) -> bool:
        """End the call that an answer belongs to; False: nobody waits for it (any more)."""
        with self._lock:
            call = self._sent.pop(answer.call_id or "", None)
            if call is not None:
                call.end(answer.result, answer.error)
        return call is not None

    def fail(self, why: str) -> None:
        """End all calls: there is no connection (any more)."""
        with self._lock:
            for call in self._to_send:
                call.end(error=VdsmUnreachableError(why))
            for call in self._sent.values():
                msg = f"{call.method} was sent, and its answer is lost: {why}"
                call.end(error=VdsmSilentError(msg))
            self._to_send.clear()
            self._sent.clear()

    def wait(self, call: Call, limit_s: float, place: str) -> Json:
        """
        Return a call's result, or raise its error, *limit_s* from now at the latest.

        A call that has not been sent by then never will be. *place* is vdsm's, for people.
        """
        if not call.is_over.wait(max(0.0, limit_s)):
            self._give_up(call, limit_s, place)
        if call.error is not None:
            raise call.error
        return call.result

    def _give_up(self, call: Call, limit_s: float, place: str) -> None:
        with self._lock:
            # It may have ended at this very moment.
            if call.is_over.is_set():
                return
            if self._sent.pop(call.call_id, None) is not None:
                msg = f"vdsm at {place} does not answer within {limit_s:.3g} s: {call.method}"
                call.error = VdsmSilentError(msg)
                return
            self._to_send.remove(call)
            msg = f"no connection to vdsm at {place} within {limit_s:.3g} s: {call.method}"
            call.error = VdsmUnreachableError(msg)


class Recovery:
    """Repeats calls while vdsm recovers: it starts, and answers every verb with code 99."""

    def __init__(self, log: logging.Logger, place: str) -> None:
        """Log to *log*; *place* is vdsm's, for people."""
        self._repeats = Repeats(log)
        self._place = place

    def call(self, ask: Callable[[float], Json], limit_s: float) -> Json:
        """
        Return what *ask* returns, which has the time that is left (seconds), or raise its error.

        Raises:
            VdsmError: also with code 99, where vdsm has not recovered within *limit_s*.
        """
        ends_at = time.monotonic() + limit_s
        while True:
            try:
                result = ask(ends_at - time.monotonic())
            except VdsmError as error:
                if error.code != RECOVERING or time.monotonic() + _RECOVERS_S >= ends_at:
                    raise
                message = "vdsm at %s recovers, and does nothing else meanwhile"
                self._repeats.complain("recovers", message, self._place)
                time.sleep(_RECOVERS_S)
            else:
                self._repeats.end("recovers", "vdsm at %s has recovered", self._place)
                return result
