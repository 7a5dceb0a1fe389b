"""Who may ask, and whether a browser means it: each gate by a request that it must stop."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from he_fsm.dashboard.access.rules import Access, networks_of
from he_fsm.dashboard.access.sessions import IDLE_S, Sessions
from tests.dashboard.asking import TOKEN, Asked, Asking, ask

OPEN = Access()
LOCKED = Access(token=TOKEN, allows_changes=True)
BEARER = {"Authorization": f"Bearer {TOKEN}"}
JSON = {"Content-Type": "application/json"}


def error(found: Asked) -> str:
    plain = json.loads(found.text)
    assert list(plain) == ["error"]
    return str(plain["error"])


# The host.


@pytest.mark.parametrize("host", ["127.0.0.1:80", "localhost", "[::1]:8321", "10.1.2.3", "Alder."])
def test_a_request_for_this_host_is_answered(host: str) -> None:
    async def play(dashboard: Asking) -> None:
        assert (await dashboard.get("/api/clusters", Host=host)).status == 200

    ask(Access(names=frozenset({"alder"})), play)


@pytest.mark.parametrize("host", ["evil.example.com", "localhost.evil.com", "alder:x", "[::1", ""])
def test_a_name_that_points_here_by_somebody_elses_will_is_refused(host: str) -> None:
    async def play(dashboard: Asking) -> None:
        found = await dashboard.get("/api/clusters", Host=host)
        # aiohttp itself may refuse what is no host at all.
        assert found.status in (400, 421)

    ask(Access(names=frozenset({"alder"})), play)


# What browsers are told.


@pytest.mark.parametrize("path", ["/", "/login", "/api/clusters", "/static/live/main.js", "/none"])
def test_every_answer_forbids_frames_and_other_sites(path: str) -> None:
    async def play(dashboard: Asking) -> None:
        headers = (await dashboard.get(path)).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in headers

    ask(OPEN, play)


def test_the_stream_has_these_headers_too() -> None:
    async def play(dashboard: Asking) -> None:
        url = dashboard.server.make_url("/api/events")
        async with dashboard.session.get(url) as response:
            assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
            assert response.headers["Cache-Control"] == "no-store"

    ask(OPEN, play)


# Who asks.


@pytest.mark.parametrize("path", ["/api/clusters", "/api/events", "/api/clusters/1/status", "/x"])
def test_without_the_token_nothing_is_told(path: str) -> None:
    async def play(dashboard: Asking) -> None:
        found = await dashboard.get(path)
        assert (found.status, error(found)) == (401, "log in first: this dashboard wants a token")
        assert (await dashboard.get(path, Authorization="Bearer wrong")).status == 401
        assert (await dashboard.get(path, Cookie="he-fsm=made-up")).status == 401

    ask(LOCKED, play)


def test_a_browser_without_the_token_is_led_to_the_login() -> None:
    async def play(dashboard: Asking) -> None:
        found = await dashboard.get("/", Accept="text/html,*/*")
        assert (found.status, found.headers["Location"]) == (303, "/login")
        found = await dashboard.get("/what-if", Accept="text/html,*/*")
        assert (found.status, found.headers["Location"]) == (303, "/login?to=%2Fwhat-if")
        assert (await dashboard.get("/login")).status == 200
        assert (await dashboard.get("/static/shared/frame.js")).status == 200

    ask(LOCKED, play)


def test_the_token_opens_for_a_program() -> None:
    async def play(dashboard: Asking) -> None:
        assert (await dashboard.get("/api/clusters", **BEARER)).status == 200

    ask(LOCKED, play)


def test_a_browser_logs_in_and_out() -> None:
    async def play(dashboard: Asking) -> None:
        signed = await dashboard.signed()
        body = {"token": TOKEN}
        done = await dashboard.request("POST", "/api/login", {**signed, **JSON}, json=body)
        assert done.status == 200
        cookie = done.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        # What a browser had before the login opens nothing.
        assert (await dashboard.get("/api/clusters", Cookie=signed["Cookie"])).status == 401
        ours = "=".join(next(iter(done.cookies.items())))
        assert (await dashboard.get("/api/clusters", Cookie=ours)).status == 200
        sign = json.loads((await dashboard.get("/api/session", Cookie=ours)).text)["sign"]
        leaving = {"Cookie": ours, "X-He-Fsm-Sign": sign, **JSON}
        assert (await dashboard.request("POST", "/api/logout", leaving, json={})).status == 200
        assert (await dashboard.get("/api/clusters", Cookie=ours)).status == 401

    ask(LOCKED, play)


def test_guesses_are_few() -> None:
    async def play(dashboard: Asking) -> None:
        signed = {**await dashboard.signed(), **JSON}
        for _ in range(10):
            body = {"token": "a guess"}
            found = await dashboard.request("POST", "/api/login", signed, json=body)
            assert (found.status, error(found)) == (403, "this is not the token")
        body = {"token": TOKEN}
        assert (await dashboard.request("POST", "/api/login", signed, json=body)).status == 429
        assert (await dashboard.get("/api/clusters", **BEARER)).status == 401

    ask(LOCKED, play)


def test_a_proxys_user_is_believed_from_the_proxy_alone() -> None:
    async def play(dashboard: Asking) -> None:
        found = await dashboard.get("/api/session", **{"X-Remote-User": "mary"})
        assert json.loads(found.text)["user"] == "mary"
        assert (await dashboard.get("/api/clusters")).status == 403

    here = Access(user_header="X-Remote-User", proxies=networks_of(["127.0.0.1"]))
    ask(here, play)

    async def refused(dashboard: Asking) -> None:
        found = await dashboard.get("/api/clusters", **{"X-Remote-User": "mary"})
        assert found.status == 403

    ask(Access(user_header="X-Remote-User", proxies=networks_of(["192.0.2.0/24"])), refused)


# Whether a browser means it.

DEED = {"deed": "global", "on": True}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"X-He-Fsm-Sign": "0" * 64}, 428),
        ({"Cookie": ""}, 428),
        ({"Content-Type": "text/plain"}, 415),
    ],
)
def test_what_another_site_makes_a_browser_send_changes_nothing(
    headers: dict[str, str], status: int
) -> None:
    async def play(dashboard: Asking) -> None:
        signed = {**await dashboard.signed(), **JSON, **headers}
        text = json.dumps(DEED)
        path = "/api/clusters/1/deeds"
        found = await dashboard.request("POST", path, signed, data=text)
        assert found.status == status, found.text
        assert error(found)

    ask(Access(allows_changes=True), play)


def test_our_own_page_is_heard() -> None:
    async def play(dashboard: Asking) -> None:
        signed = await dashboard.signed()
        own = {"Sec-Fetch-Site": "same-origin", "Origin": str(dashboard.server.make_url(""))}
        path = "/api/clusters/1/deeds"
        found = await dashboard.request("POST", path, {**signed, **own}, json=DEED)
        # The gates are passed; this source is no broker that could do it.
        assert found.status == 409

    ask(Access(allows_changes=True), play)


def test_without_changes_allowed_the_best_signed_request_changes_nothing() -> None:
    async def play(dashboard: Asking) -> None:
        signed = await dashboard.signed()
        path = "/api/clusters/1/deeds"
        found = await dashboard.request("POST", path, signed, json=DEED)
        assert found.status == 403
        assert "--allow-changes" in error(found)

    ask(OPEN, play)


@pytest.mark.parametrize("body", [b"[]", b"{", b"1", b"", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_said_to_be_none(body: bytes) -> None:
    async def play(dashboard: Asking) -> None:
        signed = {**await dashboard.signed(), **JSON}
        path = "/api/clusters/1/deeds"
        found = await dashboard.request("POST", path, signed, data=body)
        assert (found.status, error(found)[:22]) == (400, "expected a JSON object")

    ask(Access(allows_changes=True), play)


def test_a_body_has_a_limit() -> None:
    async def play(dashboard: Asking) -> None:
        signed = {**await dashboard.signed(), **JSON}
        path = "/api/clusters/1/deeds"
        found = await dashboard.request("POST", path, signed, data=io.BytesIO(b" " * (2 << 20)))
        assert found.status == 413
        assert error(found)

    ask(Access(allows_changes=True), play)


# Sessions.


def test_a_session_ends_when_nobody_uses_it() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    cookie = sessions.log_in("mary")
    now[0] = IDLE_S
    assert sessions.user_of(cookie) == "mary"
    now[0] = 2 * IDLE_S
    assert sessions.user_of(cookie) == "mary"
    now[0] = 3 * IDLE_S + 1
    assert sessions.user_of(cookie) is None


def test_sessions_are_bounded() -> None:
    sessions = Sessions(lambda: 0.0)
    cookies = [sessions.log_in("mary") for _ in range(201)]
    assert [sessions.user_of(each) for each in (cookies[0], cookies[1])] == [None, "mary"]


def test_the_sign_of_one_browser_is_none_of_another() -> None:
    sessions: Any = Sessions(lambda: 0.0)
    assert sessions.is_sign("a", sessions.sign_of("a"))
    assert not sessions.is_sign("b", sessions.sign_of("a"))
    assert not Sessions(lambda: 0.0).is_sign("a", sessions.sign_of("a"))
