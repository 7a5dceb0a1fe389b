"""
The application: parts, each with its routes and files, behind one guard.

A part is added by a line in `he_fsm.dashboard.serving`. It serves its page itself, and its files
below `/static/NAME/`. Every request of it has passed the guard: it is for this host, from somebody
who may ask, and one that changes something comes from our own page.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Final, Optional

import attrs
from aiohttp import web

from he_fsm.dashboard.access.guard import Guard, RequestError
from he_fsm.dashboard.access.rules import Access
from he_fsm.dashboard.access.sessions import Sessions
from he_fsm.dashboard.clusters.cluster import Cluster
from he_fsm.dashboard.files import file_routes, serves
from he_fsm.dashboard.openapi import description

# A request's body is no longer (bytes): a scenario file of many hosts fits.
BODY_BYTES_MAX: Final = 1 << 20
# What every part's page may use: the look, the frame, and how to ask the server.
_SHARED: Final = Path(__file__).parent / "shared"
_LOGIN: Final = Path(__file__).parent / "login"
PAGES: Final = web.AppKey("pages", list)
GUARD: Final = web.AppKey("guard", Guard)
# The clusters that are shown, by their names in addresses; in the order of the command line.
CLUSTERS: Final = web.AppKey("clusters", Mapping[str, Cluster])


@attrs.frozen(kw_only=True)
class Part:
    """
    One part of the dashboard.

    `name`: in addresses, `/static/NAME/`. `routes`: returns its routes. `files`: the folder of the
    files that its page loads; None: it has none. `title`: of its page in the navigation, which is
    at the path `page`; empty: it has none there. `paths`: what can be asked of it, as OpenAPI has
    it.
    """

    name: str
    routes: Callable[[], Sequence[web.RouteDef]]
    files: Optional[Path] = None
    title: str = ""
    page: str = ""
    paths: Mapping[str, Any] = attrs.field(factory=dict)


def make_application(
    parts: Sequence[Part],
    access: Access,
    clusters: Mapping[str, Cluster],
    clock: Callable[[], float] = time.monotonic,
    cookie: str = "he-fsm",
) -> web.Application:
    """
    Make the application of some parts.

    Args:
        parts: what is served.
        access: who may ask.
        clusters: what is shown; handlers find it as `request.app[CLUSTERS]`.
        clock: monotonic (seconds), for sessions.
        cookie: the cookie's name; browsers know no ports, so two dashboards on a machine need two.
    """
    guard = Guard(access=access, sessions=Sessions(clock), cookie=cookie)
    app = web.Application(middlewares=guard.middlewares(), client_max_size=BODY_BYTES_MAX)
    app[GUARD], app[CLUSTERS] = guard, clusters
    app[PAGES] = [{"title": part.title, "path": part.page} for part in parts if part.title]
    app.on_response_prepare.append(guard.add_headers)
    login = Part(name="login", routes=_login_routes, files=_LOGIN)
    shared = Part(name="shared", routes=tuple, files=_SHARED)
    described = description(part.paths for part in parts)

    async def describe(_: web.Request) -> web.Response:
        return web.json_response(described)

    app.router.add_get("/api/openapi.json", describe)
    for part in (shared, login, *parts):
        files = () if part.files is None else file_routes(part.files, f"/static/{part.name}")
        app.add_routes(itertools.chain(part.routes(), files))
    return app


async def body_of(request: web.Request) -> dict[str, Any]:
    """
    Return the JSON object that a request sends.

    Raises:
        RequestError: it sends something else.
    """
    try:
        plain = await request.json()
    except (ValueError, RecursionError) as error:
        msg = f"expected a JSON object: {error}"
        raise RequestError(msg) from error
    if not isinstance(plain, dict):
        msg = f"expected a JSON object, got {type(plain).__name__}"
        raise RequestError(msg)
    return plain


def _login_routes() -> Sequence[web.RouteDef]:
    return (
        web.get("/login", serves(_LOGIN / "login.html")),
        web.get("/api/session", _session),
        web.post("/api/login", _log_in),
        web.post("/api/logout", _log_out),
    )


async def _session(request: web.Request) -> web.Response:
    """Answer with what our own page has to send with what it changes."""
    guard = request.app[GUARD]
    cookie = request.cookies.get(guard.cookie, "")
    is_new = not cookie
    cookie = cookie or guard.sessions.new_id()
    access, user = guard.access, guard.user_of(request)
    plain = {
        "sign": guard.sessions.sign_of(cookie),
        "user": user or "",
        "known": user is not None,
        "changes": access.allows_changes,
        "token": access.token is not None,
        "pages": request.app[PAGES],
    }
    answer = web.json_response(plain)
    if is_new:
        guard.set_cookie(answer, cookie)
    return answer


async def _log_in(request: web.Request) -> web.Response:
    guard = request.app[GUARD]
    plain = await body_of(request)
    token = plain.get("token")
    if set(plain) != {"token"} or not isinstance(token, str):
        msg = 'expected {"token": text}'
        raise RequestError(msg)
    if guard.access.token is None:
        msg = "this dashboard has no token to log in with"
        raise RequestError(msg, 409)
    sessions = guard.sessions
    if not sessions.may_try():
        msg = "too many wrong tokens: wait a minute"
        raise RequestError(msg, 429)
    if not guard.access.is_token(token.strip()):
        sessions.has_failed()
        msg = "this is not the token"
        raise RequestError(msg, 403)
    answer = web.json_response({"known": True})
    guard.set_cookie(answer, sessions.log_in("token"))
    return answer


async def _log_out(request: web.Request) -> web.Response:
    guard = request.app[GUARD]
    guard.sessions.log_out(request.cookies.get(guard.cookie, ""))
    answer = web.json_response({"known": False})
    answer.del_cookie(guard.cookie, path="/")
    return answer
