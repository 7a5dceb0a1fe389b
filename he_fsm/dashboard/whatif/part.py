"""The what-if page as a part of the dashboard: its addresses, and who answers there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from he_fsm.dashboard.access.guard import RequestError
from he_fsm.dashboard.application import CLUSTERS, Part, body_of
from he_fsm.dashboard.clusters.cluster import Cluster
from he_fsm.dashboard.files import serves
from he_fsm.dashboard.whatif.asking import FILE_NAME, link_reply
from he_fsm.dashboard.whatif.beginning import example_text, live_text
from he_fsm.dashboard.whatif.described import what_if_paths
from he_fsm.dashboard.whatif.model import language
from he_fsm.dashboard.whatif.processes.pool import BusyError, Pool, TooLongError
from he_fsm.errors import HeFsmError
from he_fsm.live.seen import read_with

_FOLDER: Final = Path(__file__).parent / "page"
POOL: Final = web.AppKey("what_if_pool", Pool)
_PAGE_NAME_MAX: Final = 100


def what_if_part() -> Part:
    """Return the part."""
    return Part(
        name="what-if",
        routes=_routes,
        files=_FOLDER,
        title="What if",
        page="/what-if",
        paths=what_if_paths(),
    )


async def answering(app: web.Application) -> AsyncIterator[None]:
    """Keep the processes that answer, while the application runs."""
    app[POOL] = Pool()
    yield
    await app[POOL].close()


def _routes() -> Sequence[web.RouteDef]:
    return (
        web.get("/what-if", serves(_FOLDER / "what-if.html")),
        web.get("/api/what-if/language", _language),
        web.get("/api/what-if/start", _start),
        web.post("/api/what-if", _ask),
        web.post("/api/what-if/link", _link),
    )


async def _language(_: web.Request) -> web.Response:
    return _answer(language())


async def _start(request: web.Request) -> web.Response:
    """Answer with what there is to begin with: each cluster as it is now, and an example."""
    loop = asyncio.get_running_loop()
    found = await asyncio.gather(
        *(
            loop.run_in_executor(None, _beginning, cluster)
            for cluster in request.app[CLUSTERS].values()
        )
    )
    example = {"title": "an example", "file": FILE_NAME, "text": example_text(), "notes": []}
    return _answer({"starts": [*found, example]})


def _beginning(cluster: Cluster) -> dict[str, Any]:
    """Return a cluster as a scenario file; one that can't be read has no text."""
    source = cluster.source
    try:
        live = read_with(source, source.policy)
        text, notes = live_text(live), list(live.captured.notes)
    except HeFsmError as error:
        text, notes = "", [str(error)]
    return {"title": f"now: {source.title}", "file": "live.yaml", "text": text, "notes": notes}


async def _ask(request: web.Request) -> web.Response:
    plain = await body_of(request)
    page = plain.get("page", "")
    if not isinstance(page, str) or len(page) > _PAGE_NAME_MAX:
        msg = f"page: expected a text of at most {_PAGE_NAME_MAX} characters"
        raise RequestError(msg)
    try:
        found = await request.app[POOL].ask(plain, page)
    except (BusyError, TooLongError) as error:
        raise RequestError(str(error), 503) from error
    if found is None:
        msg = "a newer question of this page has taken the place of this one"
        raise RequestError(msg, 409)
    return _said(found)


async def _link(request: web.Request) -> web.Response:
    return _said(link_reply(await body_of(request)))


def _said(found: dict[str, Any]) -> web.Response:
    if "refused" in found:
        raise RequestError(found["refused"])
    return _answer(found, 422 if "error" in found else 200)


def _answer(plain: dict[str, Any], status: int = 200) -> web.Response:
    response = web.json_response(plain, status=status)
    response.enable_compression()
    return response
