"""The dashboard on a real socket of this process, and requests as anybody sends them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Callable, Optional

import attrs
from aiohttp import ClientResponse, ClientSession, DummyCookieJar
from aiohttp.test_utils import TestServer

from he_fsm.dashboard.access.rules import Access
from he_fsm.dashboard.serving import Served, application
from he_fsm.dashboard.sources.source import Moment
from he_fsm.errors import BrokerError
from he_fsm.policy import TALK, Policy
from he_fsm.runtime.config import Config
from tests.dashboard.statuses import status

TOKEN = "a token that nobody could guess".replace(" ", "-")


class Scripted:
    """A source whose status a test sets; while it is None, the source does not answer."""

    title = "scripted"
    kind = "broker"
    policy: Optional[Policy] = TALK
    config: Optional[Config] = None

    def __init__(self) -> None:
        self.found: Optional[dict[str, Any]] = status()
        self.kept: list[Moment] = []
        self.looks = 0
        # While this is not set, a look waits, as one of a storage that hangs.
        self.answers_now = threading.Event()
        self.answers_now.set()

    def status(self) -> dict[str, Any]:
        self.looks += 1
        self.answers_now.wait(30.0)
        if self.found is None:
            msg = "nobody is there"
            raise BrokerError(msg)
        return self.found

    def whiteboard(self) -> bytes:
        return b""

    def wait(self, limit_s: float) -> None:
        """Return at once: the cluster itself keeps two looks apart."""

    def past(self, since: float) -> Iterator[Moment]:
        return iter([each for each in self.kept if each.at >= since])


@attrs.frozen
class Asked:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    text: str
    cookies: Mapping[str, str]

    @classmethod
    async def of(cls, response: ClientResponse) -> Asked:
        cookies = {name: morsel.value for name, morsel in response.cookies.items()}
        return cls(response.status, response.headers, await response.text(), cookies)


@attrs.frozen
class Asking:
    """Asks a dashboard; sends only the headers that are said."""

    session: ClientSession
    server: TestServer
    source: Scripted

    async def get(self, path: str, **headers: str) -> Asked:
        return await self.request("GET", path, headers)

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], **options: Any
    ) -> Asked:
        url = self.server.make_url(path)
        async with self.session.request(
            method, url, headers=headers, allow_redirects=False, **options
        ) as response:
            return await Asked.of(response)

    async def signed(self) -> dict[str, str]:
        """Return the headers by which our own page changes something."""
        found = await self.get("/api/session")
        (pair,) = found.cookies.items()
        sign = (await self.get("/api/session", Cookie="=".join(pair))).text.split('"')[3]
        return {"Cookie": "=".join(pair), "X-He-Fsm-Sign": sign}


def ask(access: Access, play: Callable[[Asking], Any], *, answers: bool = True) -> None:
    """Serve a dashboard, whose source *answers* from the start or not, and play with it."""

    async def run() -> None:
        async with asking(access, answers=answers) as found:
            await play(found)

    asyncio.run(run())


@asynccontextmanager
async def asking(access: Access, *, answers: bool) -> AsyncIterator[Asking]:
    source = Scripted()
    if not answers:
        source.found = None
    served = Served(address="127.0.0.1", port=0, access=access, sources=[source])
    server = TestServer(application(served))
    await server.start_server()
    try:
        async with ClientSession(cookie_jar=DummyCookieJar()) as session:
            yield Asking(session, server, source)
    finally:
        await server.close()
