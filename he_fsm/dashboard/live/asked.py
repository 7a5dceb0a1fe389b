"""Which cluster a request is about."""

from __future__ import annotations

from aiohttp import web

from he_fsm.dashboard.access.guard import RequestError
from he_fsm.dashboard.application import CLUSTERS
from he_fsm.dashboard.clusters.cluster import Cluster


def cluster_of(request: web.Request) -> Cluster:
    """
    Return the cluster that a request's address names.

    Raises:
        RequestError: there is none of that name.
    """
    clusters = request.app[CLUSTERS]
    key = request.match_info["cluster"]
    found = clusters.get(key)
    if found is None:
        msg = f"there is no cluster {key!r}: there are {', '.join(clusters)}"
        raise RequestError(msg, 404)
    return found
