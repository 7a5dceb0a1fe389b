"""The broker's HTTP by aiohttp: who may ask, which request calls what, how errors are said."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Optional, TypeVar

from aiohttp import web

from he_fsm.errors import HeFsmError, LockspaceError, StorageError
from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.runtime.broker import protocol
from he_fsm.runtime.broker.listener import gid_of, is_member, peer_of
from he_fsm.runtime.broker.service import BrokerService
from he_fsm.runtime.vm_orders.order import target_of, wanted_of

_log = logging.getLogger(__name__)
_WAIT_MAX_S = 60.0
# Each request that may wait for storage takes a thread. They wait within the storage's deadline,
# so that so many can ask at once without the agent's requests having to queue.
_THREADS_MAX = 32
# They cost nothing while they wait, and a look each when something is new.
_WATCHERS_MAX = 16
# The agent's report of a full whiteboard of 2000 hosts fits.
_BODY_MAX_BYTES = 1 << 20
# What only the agent may ask: it changes what other hosts see, or speaks in the agent's name.
_AGENTS_OWN = frozenset(
    (
        *(("PUT", "/v1/slot"), ("POST", "/v1/mend"), ("PUT", "/v1/report")),
        *(("POST", "/v1/events"), ("POST", "/v1/join"), ("POST", "/v1/leave")),
    )
)
# What ends or begins the VM is for those who could also do it without the broker.
_ROOTS_OWN = frozenset((("POST", "/v1/vm"),))
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Result = TypeVar("Result")
Number = TypeVar("Number", int, float)


class _BadRequestError(HeFsmError):
    """What was asked is wrong; asking again changes nothing."""


class BrokerServer:
    """The application that serves *service*; *group*: whose members may ask, besides root."""

    def __init__(self, service: BrokerService, group: Optional[str]) -> None:
        self._service = service
        self._gid = gid_of(group)
        self._threads = ThreadPoolExecutor(_THREADS_MAX, "request")
        # The connections of those who wait for changes.
        self._listeners: set[asyncio.Transport] = set()
        # How many people's programs wait for news.
        self._watching = 0
        self._is_closing = False
        # Replaced with every change; made when the event loop runs.
        self._changed: Optional[asyncio.Event] = None
        self.app = web.Application(
            middlewares=[self._errors, self._only_for_us], client_max_size=_BODY_MAX_BYTES
        )
        self.app.cleanup_ctx.append(self._hear_changes)
        self.app.on_shutdown.append(self._end_waiting)
        self.app.add_routes(
            [
                web.get("/v1/facts", self._facts),
                web.get("/v1/whiteboard", self._whiteboard),
                web.put("/v1/slot", self._slot),
                web.post("/v1/mend", self._mend),
                web.post("/v1/end", self._end),
                web.put("/v1/report", self._report),
                web.get("/v1/report", self._last_report),
                web.post("/v1/events", self._events),
                web.get("/v1/wake", self._wake),
                web.get("/v1/watch", self._watch),
                web.get("/v1/maintenance", self._maintenance),
                web.put("/v1/maintenance", self._set_maintenance),
                web.post("/v1/vm", self._order_vm),
                web.post("/v1/join", self._join),
                web.post("/v1/leave", self._leave),
                web.get("/v1/status", self._status),
                web.get("/metrics", self._metrics),
            ]
        )

    @property
    def is_listened_to(self) -> bool:
        """Whether somebody waits for changes, as a running agent does all the time."""
        return any(not transport.is_closing() for transport in self._listeners)

    # Around every request.

    @web.middleware
    async def _only_for_us(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """
        Refuse callers that are neither root nor the broker's own user nor of its group.

        Members of the group may look, and set maintenance; the rest is the agent's, which runs as
        root or as the broker's user.
        """
        peer = peer_of(request.transport)
        if peer.uid not in (0, os.geteuid()):
            if not await self._in_thread(lambda: is_member(peer, self._gid)):
                _log.warning("user id %d may not ask the broker", peer.uid)
                return _error("you are not in the broker's group", 403)
            if (request.method, request.path) in _AGENTS_OWN:
                _log.warning("user id %d asks %s, as the agent does", peer.uid, request.path)
                return _error(f"{request.method} {request.path} is for the agent alone", 403)
            if (request.method, request.path) in _ROOTS_OWN:
                _log.warning("user id %d may not order anything of the VM", peer.uid)
                return _error("only root and the daemons' own user may start or end the VM", 403)
        return await handler(request)

    @web.middleware
    async def _errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn errors into one sentence of JSON."""
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _error(f"{request.method} {request.path}: {error.reason}", error.status)
        except _BadRequestError as error:
            return _error(str(error), 400)
        except StorageError as error:
            return _error(str(error), 503)
        except LockspaceError as error:
            return _error(str(error), 409)
        except HeFsmError as error:
            return _error(str(error), 500)
        except Exception:  # noqa: BLE001 - it is said, with its trace
            _log.exception("%s %s meets a bug", request.method, request.path)
            return _error("a bug of the broker; see its log", 500)

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    # What the agent asks.

    async def _facts(self, _: web.Request) -> web.Response:
        facts = await self._in_thread(self._service.facts)
        return web.json_response(protocol.facts_to_json(facts))

    async def _whiteboard(self, request: web.Request) -> web.Response:
        is_fresh = bool(_number(request, "fresh", int, 0))
        data = await self._in_thread(lambda: self._service.whiteboard(fresh=is_fresh))
        return web.Response(body=data, content_type="application/octet-stream")

    async def _slot(self, request: web.Request) -> web.Response:
        block = await request.read()
        if len(block) != SLOT_BYTES:
            msg = f"a slot has {SLOT_BYTES} bytes, got {len(block)}"
            raise _BadRequestError(msg)
        await self._in_thread(lambda: self._service.write_slot(block))
        return web.Response(status=204)

    async def _mend(self, request: web.Request) -> web.Response:
        wanted = await _object(request)
        maintenance, until = wanted.get("global"), _until(wanted)
        if set(wanted) - {"until"} != {"global"} or not isinstance(maintenance, bool):
            msg = f'expected {{"global": bool}}, got {wanted!r}'
            raise _BadRequestError(msg)
        is_written = await self._in_thread(lambda: self._service.mend_global(maintenance, until))
        return web.json_response({"written": is_written})

    async def _end(self, request: web.Request) -> web.Response:
        wanted = await _object(request)
        until = _until(wanted)
        if set(wanted) != {"until"} or until is None:
            msg = f'expected {{"until": seconds since 1970}}, got {wanted!r}'
            raise _BadRequestError(msg)
        is_written = await self._in_thread(lambda: self._service.end_global(until))
        return web.json_response({"written": is_written})

    async def _report(self, request: web.Request) -> web.Response:
        report = await _object(request)
        if not isinstance(report.get("state"), str) or not isinstance(report.get("why"), str):
            msg = "expected an object with the texts 'state' and 'why'"
            raise _BadRequestError(msg)
        orders = self._service.report(report)
        if not orders:
            return web.Response(status=204)
        return web.json_response({"orders": [order.to_json() for order in orders]})

    async def _last_report(self, _: web.Request) -> web.Response:
        return web.json_response(self._service.last_report())

    async def _events(self, request: web.Request) -> web.Response:
        plain = await _object(request)
        try:
            event = protocol.event_from_json(plain)
        except HeFsmError as error:
            raise _BadRequestError(str(error)) from error
        self._service.tell(event)
        return web.Response(status=204)

    async def _join(self, _: web.Request) -> web.Response:
        await self._in_thread(self._service.join)
        return web.Response(status=204)

    async def _leave(self, _: web.Request) -> web.Response:
        await self._in_thread(self._service.leave)
        return web.Response(status=204)

    # Waiting takes no thread: any number of listeners may do it.

    async def _watch(self, request: web.Request) -> web.Response:
        """Answer as soon as the status has something new; who waits here is no agent."""
        after, timeout_s = _wait_of(request)
        if self._watching >= _WATCHERS_MAX:
            msg = f"{_WATCHERS_MAX} others wait for news already: ask GET /v1/status now and then"
            return _error(msg, 429)
        self._watching += 1
        try:
            await self._wait_at_most(lambda: self._service.shown, after, timeout_s)
        finally:
            self._watching -= 1
        return web.json_response({"count": self._service.shown})

    async def _wake(self, request: web.Request) -> web.Response:
        after, timeout_s = _wait_of(request)
        if request.transport is not None:
            await self._listen(request.transport, after, timeout_s)
        return web.json_response({"count": self._service.changes})

    async def _listen(self, transport: asyncio.Transport, after: int, timeout_s: float) -> None:
        self._listeners.add(transport)
        try:
            await self._wait_at_most(lambda: self._service.changes, after, timeout_s)
        finally:
            self._listeners.discard(transport)

    async def _wait_at_most(self, count: Callable[[], int], after: int, timeout_s: float) -> None:
        """Wait until *count* is not *after*, so long at most."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._wait(count, after), timeout_s)

    async def _wait(self, count: Callable[[], int], after: int) -> None:
        while count() == after and not self._is_closing and self._changed:
            await self._changed.wait()

    async def _hear_changes(self, _: web.Application) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

        def ring() -> None:
            loop.call_soon_threadsafe(self._ring)

        self._service.on_change(ring)
        yield
        self._service.on_change(None)
        self._threads.shutdown(wait=False)

    def _ring(self) -> None:
        """Wake everybody who waits for a change."""
        before, self._changed = self._changed, asyncio.Event()
        if before is not None:
            before.set()

    async def _end_waiting(self, _: web.Application) -> None:
        self._is_closing = True
        self._ring()

    # What people ask.

    async def _maintenance(self, _: web.Request) -> web.Response:
        return _flags(await self._in_thread(self._service.maintenance))

    async def _set_maintenance(self, request: web.Request) -> web.Response:
        wanted = await _object(request)
        until = _until(wanted)
        for name, value in wanted.items():
            if name != "until" and (name not in ("local", "global") or not isinstance(value, bool)):
                msg = f'expected {{"local": bool, "global": bool}}, got {name}: {value!r}'
                raise _BadRequestError(msg)
        found = await self._in_thread(
            lambda: self._service.maintenance(
                local=wanted.get("local"), everywhere=wanted.get("global"), until=until
            )
        )
        return _flags(found)

    async def _order_vm(self, request: web.Request) -> web.Response:
        plain = await _object(request)
        try:
            wanted = wanted_of(plain.get("order"))
            to = target_of(wanted, plain.get("to"))
        except HeFsmError as error:
            raise _BadRequestError(str(error)) from error
        number = self._service.order_vm(wanted, peer_of(request.transport).uid, to)
        return web.json_response({"number": number})

    async def _status(self, _: web.Request) -> web.Response:
        return web.json_response(await self._in_thread(self._service.status))

    async def _metrics(self, _: web.Request) -> web.Response:
        # A host whose metrics nobody reads does without the library.
        from he_fsm.runtime.broker.metrics.families import (  # noqa: PLC0415
            CONTENT_TYPE,
            metrics_of,
        )

        status = await self._in_thread(self._service.status)
        return web.Response(body=metrics_of(status), headers={"Content-Type": CONTENT_TYPE})


def _error(sentence: str, status: int) -> web.Response:
    return web.json_response({"error": sentence}, status=status)


def _flags(found: protocol.Maintenance) -> web.Response:
    ends = {"local_until": found.local_until, "global_until": found.everywhere_until}
    known = {name: until for name, until in ends.items() if until is not None}
    return web.json_response({"local": found.local, "global": found.everywhere, **known})


def _until(wanted: dict[str, Any]) -> Optional[int]:
    """Return when a maintenance ends, if that is asked for."""
    until = wanted.get("until")
    if until is None:
        return None
    if type(until) is not int or until <= 0:
        msg = f"until: expected whole seconds since 1970, got {until!r}"
        raise _BadRequestError(msg)
    return until


def _number(
    request: web.Request, name: str, kind: Callable[[str], Number], default: Number
) -> Number:
    text = request.query.get(name)
    try:
        return default if text is None else kind(text)
    except ValueError as error:
        msg = f"expected a number for '{name}', got {text!r}"
        raise _BadRequestError(msg) from error


def _wait_of(request: web.Request) -> tuple[int, float]:
    """Return the number that somebody knows, and how long he waits for another one (seconds)."""
    after = _number(request, "after", int, 0)
    return after, min(_WAIT_MAX_S, max(0.0, _number(request, "timeout", float, 10.0)))


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        plain = await request.json()
    except ValueError as error:
        msg = f"expected a JSON object: {error}"
        raise _BadRequestError(msg) from error
    if not isinstance(plain, dict):
        msg = "expected a JSON object"
        raise _BadRequestError(msg)
    return plain
