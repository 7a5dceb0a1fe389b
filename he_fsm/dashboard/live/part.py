"""The live part: its page, its stream, the status as JSON, and what can be asked of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from he_fsm.dashboard.access.guard import RequestError
from he_fsm.dashboard.application import CLUSTERS, Part
from he_fsm.dashboard.clusters.cluster import Cluster
from he_fsm.dashboard.files import serves
from he_fsm.dashboard.live import deeds, stream
from he_fsm.dashboard.live.asked import cluster_of
from he_fsm.dashboard.live.described import live_paths

_PAGES: Final = Path(__file__).parent / "page"


def live_part() -> Part:
    """Return the part with the page that shows the clusters."""
    return Part(
        name="live",
        routes=_routes,
        files=_PAGES,
        title="Clusters",
        page="/",
        paths=live_paths(),
    )


def _routes() -> Sequence[web.RouteDef]:
    return (
        web.get("/", serves(_PAGES / "index.html")),
        web.get("/api/events", stream.events),
        web.get("/api/clusters", _clusters),
        web.get("/api/clusters/{cluster}/status", _status),
        web.get("/api/clusters/{cluster}/forecast", deeds.forecast),
        web.post("/api/clusters/{cluster}/deeds", deeds.carry_out),
    )


async def _clusters(request: web.Request) -> web.Response:
    clusters = request.app[CLUSTERS]
    return web.json_response({"clusters": [_plain(each) for each in clusters.values()]})


def _plain(cluster: Cluster) -> dict[str, Any]:
    source = cluster.source
    return {
        "key": cluster.key,
        "title": source.title,
        "kind": source.kind,
        "answers": cluster.last is not None and not cluster.is_cut_off,
    }


async def _status(request: web.Request) -> web.Response:
    """Answer with the last look, as `he-fsm status --json` prints it."""
    last = cluster_of(request).last
    if last is None:
        msg = "nothing was seen of this cluster yet: its source does not answer"
        raise RequestError(msg, 503)
    return web.json_response({"verdict": last.verdict.as_json(), **last.status})
