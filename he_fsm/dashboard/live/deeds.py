"""Carrying out what people ask for, and what the simulator says of it beforehand."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Final, Optional, TypeVar

import attrs
from aiohttp import web

from he_fsm.dashboard.access.guard import RequestError
from he_fsm.dashboard.application import GUARD, body_of
from he_fsm.dashboard.clusters.cluster import Cluster
from he_fsm.dashboard.live.asked import cluster_of
from he_fsm.dashboard.live.wishes import GLOBAL, MOVE, Wish, wish_of, wish_of_query
from he_fsm.dashboard.sources.broker import BrokerSource
from he_fsm.errors import HypervisorError
from he_fsm.live.moving import moves_back, target_of
from he_fsm.live.seen import read_with
from he_fsm.live.summary import end_text
from he_fsm.live.what_if import predict
from he_fsm.policy import TALK
from he_fsm.runtime.config import Config
from he_fsm.runtime.vm_orders.asking import AgentsVm

_log = logging.getLogger(__name__)
Result = TypeVar("Result")
# Runs of the simulator by the number of hosts: an answer comes within a second or two.
_RUNS: Final = ((12, 10), (60, 3))
# So many questions are answered or wait at once; each takes a core for a moment.
_ASKING_MAX: Final = 8


@attrs.define
class Workers:
    """The threads in which deeds and questions wait; questions wait for each other."""

    deeds: ThreadPoolExecutor = attrs.field(factory=lambda: ThreadPoolExecutor(4, "deed"))
    questions: ThreadPoolExecutor = attrs.field(factory=lambda: ThreadPoolExecutor(1, "question"))
    asking: int = 0

    async def ask(self, call: Callable[[], Result]) -> Result:
        """Answer a question, unless too many wait."""
        if self.asking >= _ASKING_MAX:
            msg = "too many questions at once: ask again in a moment"
            raise RequestError(msg, 429)
        self.asking += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.questions, call)
        finally:
            self.asking -= 1

    async def do(self, call: Callable[[], Result]) -> Result:
        """Carry something out."""
        return await asyncio.get_running_loop().run_in_executor(self.deeds, call)

    def close(self) -> None:
        """Begin nothing more."""
        for pool in (self.deeds, self.questions):
            pool.shutdown(wait=False)


WORKERS: Final = web.AppKey("workers", Workers)


async def forecast(request: web.Request) -> web.Response:
    """Answer with what would happen; nothing is changed."""
    cluster = cluster_of(request)
    wish = wish_of_query(request.query)
    return web.json_response(await request.app[WORKERS].ask(lambda: _predicted(cluster, wish)))


async def carry_out(request: web.Request) -> web.Response:
    """Change something, and answer with what is so then."""
    guard = request.app[GUARD]
    if not guard.access.allows_changes:
        msg = "this dashboard changes nothing: it was started without --allow-changes"
        raise RequestError(msg, 403)
    cluster = cluster_of(request)
    wish = wish_of(await body_of(request))
    source = cluster.source
    if not isinstance(source, BrokerSource):
        msg = f"nothing can be changed on {source.title}: it is not shown by a broker"
        raise RequestError(msg, 409)
    user = guard.user_of(request) or "somebody"
    _log.warning("%s: asked for by %s: %s", source.title, user, wish.text())
    text = await request.app[WORKERS].do(lambda: _done(source, wish))
    return web.json_response({"text": text})


def _predicted(cluster: Cluster, wish: Wish) -> dict[str, Any]:
    source = cluster.source
    seen = read_with(source, source.policy)
    here, to, notes = seen.status["host_id"], None, list(seen.captured.notes)
    policy = source.policy or TALK
    if wish.deed == MOVE:
        try:
            to = target_of(seen.status, wish.to, policy)
        except HypervisorError as error:
            raise RequestError(str(error), 409) from error
        back = moves_back(seen.status, to, policy)
        notes += [back] if back else []
    scenario = seen.scenario([("0s", wish.fault(here, to))])
    hosts = len(scenario.hosts)
    runs = next((runs for most, runs in _RUNS if hosts <= most), 1)
    found = predict(wish.question(here, to), scenario, runs)
    return {**found.as_json(), "answer": found.answer(), "notes": notes, "target": to}


def _done(source: BrokerSource, wish: Wish) -> str:
    if wish.deed == MOVE:
        return _moved(source, wish.to)
    until = None if wish.for_s is None else math.ceil(time.time() + wish.for_s)
    is_global = wish.deed == GLOBAL
    flags = source.client.maintenance(
        local=None if is_global else wish.on,
        everywhere=wish.on if is_global else None,
        until=until,
    )
    is_on, end = flags.local, flags.local_until
    if is_global:
        is_on, end = bool(flags.everywhere), flags.everywhere_until
    return f"{'global' if is_global else 'local'} maintenance is {'on' if is_on else 'off'}" + (
        end_text(end)
    )


def _moved(source: BrokerSource, wanted: Optional[int]) -> str:
    config: Optional[Config] = source.config
    if config is None:
        msg = "a move needs this host's configuration: start the dashboard with --config"
        raise RequestError(msg, 409)
    try:
        to = target_of(source.status(), wanted, config.policy)
        AgentsVm(config).move(to)
    except HypervisorError as error:
        raise RequestError(str(error), 409) from error
    return f"the engine moves to host {to}"
