"""The stream of changes: what a browser is sent, after whatever befell it or the cluster."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Optional

import attrs
import pytest
from aiohttp import ClientResponse

from he_fsm.dashboard.access.rules import Access
from he_fsm.dashboard.clusters import cluster as cluster_module
from he_fsm.dashboard.live import stream
from he_fsm.dashboard.sources.source import Moment
from tests.dashboard.asking import Asking, ask
from tests.dashboard.statuses import status

OPEN = Access()


@attrs.define
class Browser:
    """Reads a stream as a browser does."""

    response: ClientResponse
    known: dict[str, Any] = attrs.field(factory=dict)
    last: str = ""
    events: list[str] = attrs.field(factory=list)
    _text: str = ""
    _unpack: Any = None

    async def event(self) -> None:
        """Take one event."""
        while "\n\n" not in self._text:
            data = await asyncio.wait_for(self.response.content.readany(), 20)
            assert data, "the stream has ended"
            if self._unpack is not None:
                data = self._unpack.decompress(data)
            self._text += data.decode()
        block, _, self._text = self._text.partition("\n\n")
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        self.last = fields.get("id", self.last)
        self.events.append(fields["event"])
        if fields["event"] == "change":
            found = json.loads(fields["data"])
            if found["whole"]:
                self.known.clear()
            self.known.update(found["values"])
            for key in [key for key, value in self.known.items() if value is None]:
                del self.known[key]

    async def until(self, is_so: Any) -> None:
        """Take events until something is so."""
        while not is_so(self.known):
            await self.event()


@asynccontextmanager
async def browser(
    dashboard: Asking, last: str = "", packs: Optional[str] = None
) -> AsyncIterator[Browser]:
    headers = {"Last-Event-ID": last, "Accept-Encoding": packs or "identity"}
    url = dashboard.server.make_url("/api/events")
    async with dashboard.session.get(url, headers=headers) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        yield Browser(response)


def engine_on(known: dict[str, Any]) -> Any:
    return known.get("head", {}).get("verdict", {}).get("engine_on")


def test_a_browser_is_sent_all_and_then_what_changes() -> None:
    async def play(dashboard: Asking) -> None:
        async with browser(dashboard) as one:
            await one.until(lambda known: engine_on(known) == 1)
            assert {"source", "head", "host/1", "host/2", "ages", "lane/engine"} <= set(one.known)
            one.known.clear()
            dashboard.source.found = status(engine_on=2)
            await one.until(lambda known: engine_on(known) == 2)
            # What has not changed is not sent again.
            assert "source" not in one.known

    ask(OPEN, play)


def test_a_browser_that_comes_back_is_sent_what_it_missed() -> None:
    async def play(dashboard: Asking) -> None:
        async with browser(dashboard) as one:
            await one.until(lambda known: engine_on(known) == 1)
            known, last = dict(one.known), one.last
        dashboard.source.found = status(engine_on=2)
        async with browser(dashboard) as other:
            await other.until(lambda known: engine_on(known) == 2)
        async with browser(dashboard, last) as again:
            again.known = known
            await again.until(lambda known: engine_on(known) == 2)
            assert again.events[:2] == ["clusters", "change"]
            assert again.known.keys() == other.known.keys()

    ask(OPEN, play)


@pytest.mark.parametrize("last", ["1=feed-3", "1=", "x", "1=a-99999999999999999999", "=,=,"])
def test_a_browser_of_an_earlier_process_begins_anew(last: str) -> None:
    async def play(dashboard: Asking) -> None:
        async with browser(dashboard, last) as one:
            one.known = {"host/9": {}}
            await one.until(lambda known: engine_on(known) == 1)
            assert "host/9" not in one.known

    ask(OPEN, play)


def test_a_browser_that_takes_gzip_is_sent_each_event_at_once() -> None:
    async def play(dashboard: Asking) -> None:
        # The library's own unpacking waits for whole blocks: a browser's does not.
        dashboard.session._auto_decompress = False
        async with browser(dashboard, packs="gzip") as one:
            assert one.response.headers["Content-Encoding"] == "gzip"
            one._unpack = zlib.decompressobj(16 + zlib.MAX_WBITS)
            await one.until(lambda known: engine_on(known) == 1)

    ask(OPEN, play)


def test_twenty_browsers_cost_no_look_more_than_one() -> None:
    async def play(dashboard: Asking) -> None:
        async def follow() -> None:
            async with browser(dashboard) as one:
                await one.until(lambda known: engine_on(known) == 1)
                await one.until(lambda known: engine_on(known) == 2)

        following = [asyncio.ensure_future(follow()) for _ in range(20)]
        async with browser(dashboard) as one:
            await one.until(lambda known: engine_on(known) == 1)
            source = dashboard.source
            before, began = source.looks, asyncio.get_running_loop().time()
            source.found = status(engine_on=2)
            await asyncio.wait_for(asyncio.gather(*following), 30)
            passed_s = asyncio.get_running_loop().time() - began
        # However many look, two looks are 0.2 s apart.
        assert source.looks - before <= passed_s / 0.2 + 2

    ask(OPEN, play)


def test_a_source_that_does_not_answer_is_shown_as_such_and_comes_back() -> None:
    async def play(dashboard: Asking) -> None:
        async with browser(dashboard) as one:
            await one.until(lambda known: engine_on(known) == 1)
            dashboard.source.found = None
            await one.until(lambda known: known["trouble"]["text"] == "nobody is there")
            assert one.known["trouble"]["since"] > 0
            # What was known last is still there.
            assert engine_on(one.known) == 1
            assert one.known["lane/engine"]["engine"][-1][1] is None
            found = await dashboard.get("/api/clusters")
            assert json.loads(found.text)["clusters"][0]["answers"] is False
            dashboard.source.found = status(engine_on=2)
            await one.until(lambda known: engine_on(known) == 2)
            assert one.known["trouble"] == {"text": "", "since": None}

    ask(OPEN, play)


def test_a_source_that_never_answered_is_no_empty_page() -> None:
    async def play(dashboard: Asking) -> None:
        async with browser(dashboard) as one:
            await one.until(lambda known: known.get("trouble", {}).get("text"))
            assert one.known["head"]["verdict"]["line"] == "engine unknown: nobody is there"
            found = await dashboard.get("/api/clusters/1/status")
            assert found.status == 503
            dashboard.source.found = status()
            await one.until(lambda known: engine_on(known) == 1)

    ask(OPEN, play, answers=False)


def test_a_status_of_another_form_is_shown_as_such() -> None:
    async def play(dashboard: Asking) -> None:
        async with browser(dashboard) as one:
            await one.until(lambda known: engine_on(known) == 1)
            dashboard.source.found = {"host_id": 1, "agent": {}}
            await one.until(lambda known: "its status can't be used" in known["trouble"]["text"])
            assert engine_on(one.known) == 1
            dashboard.source.found = status(engine_on=2)
            await one.until(lambda known: engine_on(known) == 2)

    ask(OPEN, play)


def test_a_look_that_hangs_is_shown_as_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "_HANGS_AFTER_S", 0.1)
    monkeypatch.setattr(cluster_module, "_HANGS_LOOK_S", 0.02)

    async def play(dashboard: Asking) -> None:
        async with browser(dashboard) as one:
            await one.until(lambda known: engine_on(known) == 1)
            dashboard.source.answers_now.clear()
            try:
                await one.until(lambda known: "its storage may hang" in known["trouble"]["text"])
            finally:
                dashboard.source.answers_now.set()
            await one.until(lambda known: not known["trouble"]["text"])

    ask(OPEN, play)


def test_a_host_that_was_removed_is_removed() -> None:
    async def play(dashboard: Asking) -> None:
        async with browser(dashboard) as one:
            await one.until(lambda known: "host/2" in known)
            dashboard.source.found = status(hosts={1: {}})
            await one.until(lambda known: "host/2" not in known)

    ask(OPEN, play)


def test_what_was_kept_stands_before_what_is_seen() -> None:
    async def play(dashboard: Asking) -> None:
        async with browser(dashboard) as one:
            await one.until(lambda known: engine_on(known) == 1)
            (began_at, _), *_ = one.known["lane/engine"]["engine"]
            source = dashboard.source
            source.kept = [
                Moment(began_at - 60.0, status(engine_on=2)),
                Moment(began_at - 30.0, status(engine_on=1)),
            ]
            cluster = next(iter(dashboard.server.app[stream.CLUSTERS].values()))
            await asyncio.to_thread(cluster._read_past)
            await one.until(lambda known: len(known["lane/engine"]["engine"]) == 2)
            rows = one.known["lane/engine"]["engine"]
            assert [word for _, word in rows] == [["good", 2], ["good", 1]]
            texts = [value["text"] for key, value in one.known.items() if key[:6] == "event/"]
            assert "the engine is good on host 1" in texts

    ask(OPEN, play)


def test_streams_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "STREAMS_MAX", 1)

    async def play(dashboard: Asking) -> None:
        async with browser(dashboard) as one:
            await one.event()
            found = await dashboard.get("/api/events")
            assert (found.status, "error" in found.text) == (503, True)
        for _ in range(200):
            # The server notices that the first one is gone.
            if not dashboard.server.app[stream.STREAMS].tasks:
                break
            await asyncio.sleep(0.05)
        async with browser(dashboard) as again:
            await again.event()

    ask(OPEN, play)


def test_the_connection_beats_where_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BEAT_S", 0.05)

    async def play(dashboard: Asking) -> None:
        async with browser(dashboard) as one:
            while "beat" not in one.events:
                await one.event()

    ask(OPEN, play)
