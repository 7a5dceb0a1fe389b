"""
What has changed, as server-sent events (HTML Living Standard, "Server-sent events").

Each event has an id; a browser that comes back sends the last one (`Last-Event-ID`), and is sent
what has changed since. `beat` says that the connection lives, so that a page notices when it does
not. A browser that takes gzip is sent one stream of it, flushed after each event.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import zlib
from collections.abc import Mapping
from typing import Any, Final, Optional

import attrs
from aiohttp import web

from he_fsm.dashboard.access.guard import RequestError
from he_fsm.dashboard.application import CLUSTERS
from he_fsm.dashboard.clusters.board import Version
from he_fsm.dashboard.clusters.cluster import Cluster

_log = logging.getLogger(__name__)
# Without anything else a browser hears so often that the connection lives (seconds).
BEAT_S: Final = 5.0
# Two events to one browser are so far apart; what changes in between is sent together (seconds).
_APART_S: Final = 0.05
# A browser that takes nothing for so long is let go (seconds).
_TAKES_WITHIN_S: Final = 30.0
STREAMS_MAX: Final = 128


@attrs.define
class Streams:
    """The tasks that serve a stream each."""

    tasks: set[asyncio.Task[Any]] = attrs.field(factory=set)


STREAMS: Final = web.AppKey("streams", Streams)
_GZIP: Final = 16 + zlib.MAX_WBITS


class _Stream:
    """One browser's stream."""

    def __init__(self, response: web.StreamResponse, *, packs: bool) -> None:
        self._response = response
        self._pack = zlib.compressobj(6, zlib.DEFLATED, _GZIP) if packs else None

    async def send(self, event: str, data: Any, number: Optional[str] = None) -> None:
        """Send one event; a `TimeoutError` where the browser does not take it."""
        head = f"event: {event}\n" + (f"id: {number}\n" if number else "")
        text = json.dumps(data, separators=(",", ":"), allow_nan=False)
        out = f"{head}data: {text}\n\n".encode()
        if self._pack is not None:
            out = self._pack.compress(out) + self._pack.flush(zlib.Z_SYNC_FLUSH)
        await asyncio.wait_for(self._response.write(out), _TAKES_WITHIN_S)


async def events(request: web.Request) -> web.StreamResponse:
    """Answer with all clusters, and with what changes on them for as long as somebody listens."""
    streams = request.app[STREAMS].tasks
    if len(streams) >= STREAMS_MAX:
        msg = f"{STREAMS_MAX} browsers are shown these clusters already: close one"
        raise RequestError(msg, 503)
    packs = "gzip" in request.headers.get("Accept-Encoding", "")
    headers = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
    if packs:
        headers["Content-Encoding"] = "gzip"
    response = web.StreamResponse(headers=headers)
    task = asyncio.current_task()
    if task is not None:
        streams.add(task)
    try:
        await response.prepare(request)
        await _show(request, _Stream(response, packs=packs))
    except (ConnectionError, asyncio.TimeoutError):
        _log.debug("a browser is gone, or its link is: it comes back by itself")
    finally:
        if task is not None:
            streams.discard(task)
    return response


async def _show(request: web.Request, stream: _Stream) -> None:
    clusters = request.app[CLUSTERS]
    known = _known(request, clusters)
    await stream.send("clusters", {"order": list(clusters), "now": time.time()})
    while True:
        for key, cluster in clusters.items():
            board = cluster.board
            before, version = known[key], board.version
            if before is None or before != version:
                delta = {"cluster": key, "whole": _is_whole(before, version)}
                known[key] = version
                delta["values"] = board.since(before)
                await stream.send("change", delta, _id_of(known))
        if not await _news(clusters, known):
            await stream.send("beat", {"now": time.time()})
        await asyncio.sleep(_APART_S)


def _is_whole(before: Optional[Version], version: Version) -> bool:
    """Whether a browser has to forget what it knew: it is of another run."""
    return before is None or before.run != version.run or before.number > version.number


async def _news(clusters: Mapping[str, Cluster], known: dict[str, Optional[Version]]) -> bool:
    """Wait for a change of any cluster, or for the next beat; return whether there was one."""
    waits = []
    for key, cluster in clusters.items():
        version = known[key]
        number = -1 if version is None else version.number
        waits.append(asyncio.ensure_future(cluster.board.changed_since(number)))
    try:
        done, _ = await asyncio.wait(waits, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return bool(done)


def _known(request: web.Request, clusters: Any) -> dict[str, Optional[Version]]:
    """Return the versions that a browser has already, by what it sends of its last event."""
    text = request.headers.get("Last-Event-ID", "") or request.query.get("last", "")
    found = dict(part.partition("=")[::2] for part in text[:4096].split(","))
    return {key: Version.of(found.get(key, "")) for key in clusters}


def _id_of(known: dict[str, Optional[Version]]) -> str:
    return ",".join(
        f"{key}={version.text()}" for key, version in known.items() if version is not None
    )
