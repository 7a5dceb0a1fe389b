"""
The server: the wire of a vdsm on a port of this machine, and the verbs behind it.

One thread has all connections, in an event loop; each verb runs in a thread of its own, as long as
it takes. Plain connections and such with TLS share the port: the first byte tells them apart. (The
port of a real vdsm has one of them, by its configuration.)
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Optional

from he_fsm.errors import HeFsmError
from he_fsm.lab.vdsm.faults import Faults, with_unknown_fields
from he_fsm.lab.vdsm.verbs import Verbs
from he_fsm.lab.vdsm.wire import requests
from he_fsm.lab.vdsm.wire.detect import PATIENCE_S
from he_fsm.lab.vdsm.wire.peer import Peer, PeerGoneError
from he_fsm.lab.vdsm.wire.queues import EVENTS, Queues
from he_fsm.lab.vdsm.wire.requests import Request
from he_fsm.runtime.service.supervised import SupervisedThread
from he_fsm.runtime.vdsm.interface import INTERNAL_ERROR, Json, VdsmError
from he_fsm.runtime.vdsm.tls import Certificates

_log = logging.getLogger(__name__)

_BACKLOG: Final = 16
_CLOSED_S: Final = 5.0
# Of the loop, from a connection that is accepted to the call that makes it known.
_STEPS: Final = 5


class VdsmServer:
    """A vdsm on loopback, from `start` to `close`."""

    def __init__(  # noqa: PLR0913 - its parts
        self,
        verbs: Verbs,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        certificates: Optional[Certificates] = None,
        may_be_plain: bool = True,
        faults: Optional[Faults] = None,
    ) -> None:
        """
        Take the parts; nothing happens before `start`.

        Args:
            verbs: what is behind the wire.
            host: an address of this machine, in the network namespace of who calls `start`.
            port: 0: any that is free.
            certificates: for TLS, the client's verified against `ca`; None: no TLS.
            may_be_plain: whether a connection without TLS is served.
            faults: what goes wrong; the caller keeps it, and changes it.
        """
        self.faults = faults or Faults()
        self._verbs = verbs
        self._place = (host, port)
        self._certificates = certificates
        self._may_be_plain = may_be_plain
        self._listening: Optional[socket.socket] = None
        self._thread = SupervisedThread("vdsm of the lab", self._run)
        self._is_over = threading.Event()
        # Of the thread, while it runs.
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._ended: Optional[asyncio.Event] = None
        self._queues = Queues()
        self._reply_to = requests.ReplyTo()
        self._peers: set[Peer] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def port(self) -> int:
        """The port that it listens on, after `start`."""
        if self._listening is None:
            msg = "the server has not been started"
            raise HeFsmError(msg)
        return int(self._listening.getsockname()[1])

    def start(self) -> None:
        """Begin to listen; raises `HeFsmError` where the port is taken."""
        host, port = self._place
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        raw = socket.socket(family, socket.SOCK_STREAM)
        try:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            raw.bind((host, port))
            raw.listen(_BACKLOG)
        except OSError as error:
            raw.close()
            msg = f"no vdsm at {host}:{port}: {error.strerror}"
            raise HeFsmError(msg) from error
        self._listening = raw
        self._thread.start()

    def emit(self, event: str, params: Mapping[str, Json]) -> None:
        """Send an event to all who subscribed; from any thread."""
        said = requests.event(event, params)
        self._in_loop(lambda: self._publish(EVENTS, said))

    def drop_connections(self) -> None:
        """End all connections in order; clients may come back."""
        self._in_loop(lambda: self._for_each(Peer.drop))

    def reset_connections(self) -> None:
        """End all connections as a crash does; clients may come back."""
        self._in_loop(lambda: self._for_each(Peer.reset))

    @property
    def connection_count(self) -> int:
        """How many clients are connected."""
        return len(self._peers)

    def close(self) -> None:
        """End the connections, the thread and the port; a verb that runs goes on, unheard."""
        self._thread.close()
        self._is_over.set()
        self._in_loop(self._end)
        self._thread.join(_CLOSED_S)
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    def _in_loop(self, deed: Callable[[], object]) -> None:
        loop = self._loop
        if loop is not None:
            # It may end at this moment.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(deed)

    # What follows is the loop's.

    def _for_each(self, deed: Callable[[Peer], None]) -> None:
        for peer in tuple(self._peers):
            deed(peer)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._loop = None

    async def _serve(self) -> None:
        if self._listening is None or self._is_over.is_set():
            return
        ended = self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        # The loop closes its own.
        server = await asyncio.start_server(self._accept, sock=self._listening.dup())
        try:
            # `close` may have come before the loop could be told.
            while not self._is_over.is_set():
                await ended.wait()
        finally:
            for _ in range(_STEPS):
                # CPython 3.11 leaves a connection open that it has accepted, and not yet made known
                # when its server is closed (gh-109564).
                await asyncio.sleep(0)
            server.close()
            for peer in tuple(self._peers):
                peer.abort()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _end(self) -> None:
        if self._ended is not None:
            self._ended.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Known at once: a task that is cancelled before its first step closes nothing.
        peer = Peer(reader, writer, self._queues, self._take_request, self.faults)
        self._peers.add(peer)
        self._keep(asyncio.ensure_future(self._look_after(peer, writer)))

    async def _look_after(self, peer: Peer, writer: asyncio.StreamWriter) -> None:
        host, port = (writer.get_extra_info("peername") or ("?", 0))[:2]
        try:
            certificates = self._certificates
            tls = certificates.context(is_server=True) if certificates else None
            await peer.serve(tls, may_be_plain=self._may_be_plain)
        except PeerGoneError:
            _log.debug("client %s:%s: closed", host, port)
        except asyncio.TimeoutError:
            _log.warning("client %s:%s: did not say within %g s what it is", host, port, PATIENCE_S)
        except (HeFsmError, OSError) as error:
            _log.warning("client %s:%s: %s", host, port, error)
        finally:
            self._peers.discard(peer)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _keep(self, task: asyncio.Task[Any]) -> None:
        """Keep a task until it ends: the loop itself does not."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _take_request(self, body: bytes, reply_to: Optional[str]) -> None:
        self._reply_to.note(body, reply_to)
        found = requests.read(body)
        for refusal in found.refusals:
            self._reply(refusal)
        # vdsm 4.50.7 carries out an array of several, and loses the answers.
        is_answered = len(found.requests) + len(found.refusals) == 1
        if not is_answered:
            _log.warning("an array of several requests gets no answer")
        for request in found.requests:
            if request.call_id is None:
                # Every call of this client has one.
                _log.error("%s came without an id, and is not carried out", request.method)
                continue
            self._keep(asyncio.ensure_future(self._serve_one(request, is_answered=is_answered)))

    async def _serve_one(self, request: Request, *, is_answered: bool) -> None:
        faults = self.faults
        if faults.are_about(request.method) and faults.is_stuck:
            self._reply_to.take(request.call_id)
            return
        said = await self._said(request)
        if faults.are_about(request.method):
            await asyncio.sleep(faults.delay_s)
            is_answered = is_answered and not faults.is_silent
        if is_answered:
            self._reply(said)
        else:
            self._reply_to.take(request.call_id)

    async def _said(self, request: Request) -> Mapping[str, Json]:
        """Return the answer to a request."""
        if self.faults.is_recovering:
            return requests.answer(request.call_id, error=requests.RECOVERS)
        try:
            result = await self._carried_out(request)
            # A verb may return what JSON has not.
            json.dumps(result)
        except VdsmError as error:
            return requests.answer(request.call_id, error=error)
        except Exception as error:  # noqa: BLE001 - as vdsm does, for whatever a verb raises
            _log.exception("%s failed", request.method)
            text = f"Internal JSON-RPC error: {{'reason': {str(error)!r}}}"
            return requests.answer(request.call_id, error=VdsmError(INTERNAL_ERROR, text))
        return requests.answer(request.call_id, result)

    def _carried_out(self, request: Request) -> asyncio.Future[Json]:
        """Carry a verb out, in a thread that nobody waits for when this server ends."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Json] = loop.create_future()

        def note(result: Json, error: Optional[Exception]) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)

        def work() -> None:
            result, failure = None, None
            try:
                result = self._verbs.call(request.method, request.params)
            except Exception as error:  # noqa: BLE001 - it is answered, and logged, by the loop
                failure = error
            # The server may have ended meanwhile.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(note, result, failure)

        threading.Thread(target=work, name=request.method, daemon=True).start()
        return answer

    def _reply(self, said: Mapping[str, Json]) -> None:
        self._publish(self._reply_to.take(said["id"]), said)

    def _publish(self, queue: Optional[str], said: Mapping[str, Json]) -> None:
        if self.faults.has_unknown_fields:
            said = with_unknown_fields(said)
        is_array = self.faults.has_arrays and queue != EVENTS
        body = json.dumps([said] if is_array else said).encode()
        if not self._queues.publish(queue, body):
            _log.debug("nobody subscribed to %s", queue)
