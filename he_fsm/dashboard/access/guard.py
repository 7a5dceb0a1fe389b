"""
What stands before every request: its host, its user, and whether a browser means what it sends.

A page of another site can make a browser send requests here, with our cookie in it. So whatever
changes something needs three things: a browser that says that the request comes from our own page
(`Sec-Fetch-Site`, or `Origin`), a cookie that browsers send for our own pages alone, and the sign
of that cookie, which only our own pages can read.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Callable, Final, Optional
from urllib.parse import quote, urlsplit

import attrs
from aiohttp import web

from he_fsm.dashboard.access.rules import Access
from he_fsm.dashboard.access.sessions import Sessions
from he_fsm.errors import HeFsmError, RefusedRequestError

if TYPE_CHECKING:
    from aiohttp.typedefs import Middleware

_log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SIGN_HEADER: Final = "X-He-Fsm-Sign"
_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
# What is there for people who have not logged in yet.
_PUBLIC: Final = ("/login", "/static/shared/", "/static/login/", "/api/session", "/api/login")
_POLICY: Final = "; ".join(
    (
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"),
        *("img-src 'self' data:", "manifest-src 'self'", "worker-src 'self'"),
        *("form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"),
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Server": "he-fsm",
}


class RequestError(HeFsmError):
    """What was asked can't be answered; *status*: that of HTTP, 400 to 503."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def error_answer(sentence: str, status: int) -> web.Response:
    """Return an error as every part of the dashboard says it: one sentence of JSON."""
    return web.json_response({"error": sentence}, status=status)


@attrs.frozen(kw_only=True)
class Guard:
    """The middlewares and headers of an application; *cookie*: the name of its cookie."""

    access: Access
    sessions: Sessions
    cookie: str

    def middlewares(self) -> list[Middleware]:
        """Return what every request passes, the outermost first."""

        @web.middleware
        async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._answer(request, handler)

        @web.middleware
        async def ours(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._check_host(request)
            return await handler(request)

        @web.middleware
        async def known(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not _is_public(request.path) and self.user_of(request) is None:
                return self._who_are_you(request)
            return await handler(request)

        @web.middleware
        async def meant(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.method not in _SAFE:
                self._check_meant(request)
            return await handler(request)

        return [errors, ours, known, meant]

    async def add_headers(self, _: web.Request, response: web.StreamResponse) -> None:
        """Add what browsers are told of every answer, streams included."""
        for name, value in _HEADERS.items():
            response.headers[name] = value
        response.headers.setdefault("Cache-Control", "no-store")

    def set_cookie(self, response: web.StreamResponse, value: str) -> None:
        """Have a browser send *value* with the requests of our own pages."""
        response.set_cookie(
            self.cookie,
            value,
            httponly=True,
            samesite="Strict",
            secure=self.access.has_tls,
            path="/",
        )

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn errors into one sentence of JSON."""
        try:
            return await handler(request)
        except web.HTTPRedirection:
            raise
        except web.HTTPException as error:
            return error_answer(f"{request.method} {request.path}: {error.reason}", error.status)
        except RequestError as error:
            return error_answer(str(error), error.status)
        except RefusedRequestError as error:
            return error_answer(str(error), 403)
        except HeFsmError as error:
            return error_answer(str(error), 502)
        except ConnectionError:
            # Whoever asked is gone.
            raise
        except Exception:  # noqa: BLE001 - it is said, with its trace
            _log.exception("%s %s meets a bug", request.method, request.path)
            return error_answer("a bug of the dashboard; see its log", 500)

    def _check_host(self, request: web.Request) -> None:
        host = request.headers.get("Host", "")
        if not self.access.is_ours(host):
            msg = (
                f"this dashboard is not known as {host!r}: name it with --name, or use its address"
            )
            raise RequestError(msg, 421)

    def user_of(self, request: web.Request) -> Optional[str]:
        """Return who asks, empty where nobody has to say; None: it is not known, and has to be."""
        access = self.access
        if access.is_open:
            return ""
        if access.user_header is not None and access.is_proxy(request.remote):
            user = request.headers.get(access.user_header, "").strip()
            if user:
                return user
        if access.token is None:
            return None
        if self.has_token(request):
            return "token"
        return self.sessions.user_of(request.cookies.get(self.cookie, ""))

    def has_token(self, request: web.Request) -> bool:
        """Whether a program asks, which sends the token itself."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not self.sessions.may_try():
            return False
        if self.access.is_token(token.strip()):
            return True
        self.sessions.has_failed()
        return False

    def _who_are_you(self, request: web.Request) -> web.Response:
        if self.access.token is None:
            msg = f"the proxy has not said who you are ({self.access.user_header})"
            raise RequestError(msg, 403)
        if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
            # A browser keeps what stands behind the `#` of the address that it asked for.
            back = "" if request.path == "/" else f"?to={quote(request.path, safe='')}"
            return web.Response(status=303, headers={"Location": f"/login{back}"})
        answer = error_answer("log in first: this dashboard wants a token", 401)
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    def _check_meant(self, request: web.Request) -> None:
        """Raise an error unless a request that changes something comes from our own page."""
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
        if site not in (None, "same-origin"):
            msg = f"a page of another site asks this (Sec-Fetch-Site: {site})"
            raise RequestError(msg, 403)
        host = request.headers.get("Host", "").lower()
        if origin is not None and urlsplit(origin).netloc.lower() != host:
            msg = f"a page of another site asks this (Origin: {origin})"
            raise RequestError(msg, 403)
        if request.content_type != "application/json":
            msg = f"expected application/json, got {request.content_type}"
            raise RequestError(msg, 415)
        if self.access.token is not None and self.has_token(request):
            # Browsers add no such header by themselves.
            return
        cookie = request.cookies.get(self.cookie, "")
        if not cookie or not self.sessions.is_sign(cookie, request.headers.get(SIGN_HEADER, "")):
            msg = f"the header {SIGN_HEADER} is missing or old: load the page again (/api/session)"
            raise RequestError(msg, 428)


def _is_public(path: str) -> bool:
    return any(path == each or (each[-1] == "/" and path.startswith(each)) for each in _PUBLIC)
