"""The addresses of the what-if page, on a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any, Optional, Union

import attrs
import pytest
import requests

from he_fsm.dashboard.whatif.asking import reply
from tests.cli.dashboard.serving import served
from tests.dashboard.whatif.files import PLAIN, WITH_FAULTS, as_json


@attrs.define
class Server:
    """A dashboard that is asked as our own page asks it."""

    link: str
    session: requests.Session = attrs.field(factory=requests.Session)
    sign: str = ""

    def get(self, path: str) -> tuple[int, str, Mapping[str, str]]:
        """Return status, text and headers."""
        found = self.session.get(self.link + path, timeout=60)
        return found.status_code, found.text, found.headers

    def post(
        self,
        path: str,
        body: Union[bytes, Mapping[str, Any]],
        headers: Optional[Mapping[str, str]] = None,
    ) -> tuple[int, dict[str, Any]]:
        """Send something; return status and JSON."""
        if not self.sign:
            self.sign = json.loads(self.get("/api/session")[1])["sign"]
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", "X-He-Fsm-Sign": self.sign, **(headers or {})}
        found = self.session.post(self.link + path, data=data, headers=sent, timeout=60)
        return found.status_code, found.json()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served("--demo") as found:
        asked = Server(found.link.rstrip("/"))
        yield asked
        asked.session.close()


def test_the_page_and_all_that_it_loads_come_from_here(server: Server) -> None:
    status, page, headers = server.get("/what-if")
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "http:" not in page
    assert "https:" not in page
    for name in ("page.js", "board.js", "timeline.js", "what-if.css"):
        assert server.get(f"/static/what-if/{name}")[0] == 200


def test_a_question_is_answered_as_by_the_function(server: Server) -> None:
    status, plain = server.post("/api/what-if", {"text": WITH_FAULTS, "runs": 3, "page": "p"})
    assert (status, plain) == (200, as_json(reply({"text": WITH_FAULTS, "runs": 3})))


def test_a_scenario_that_is_wrong_is_an_answer_with_its_place(server: Server) -> None:
    status, plain = server.post("/api/what-if", {"text": WITH_FAULTS.replace("power", "powr")})
    assert status == 422
    assert plain["error"].startswith(
        "what-if.yaml:8:30: scenarios[0].timeline[1].powr: unknown key"
    )
    assert (plain["line"], plain["column"]) == (8, 30)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "expected a JSON object"),
        (b"[]", "expected a JSON object"),
        (b"[" * 100_000, "expected a JSON object"),
        (b'{"text": 1}', "text: expected a text"),
        (b'{"text": "", "page": 1}', "page: expected a text"),
        (json.dumps({"text": "\udc00"}).encode(), "surrogate"),
        (json.dumps({"text": PLAIN, "edits": [{"do": "set"}]}).encode(), "edits[0]: expected"),
    ],
)
def test_what_is_no_question_is_refused_in_a_sentence(
    server: Server, body: bytes, said: str
) -> None:
    status, plain = server.post("/api/what-if", body)
    assert status == 400
    assert said in plain["error"]
    assert "Traceback" not in plain["error"]


def test_a_body_that_is_too_large_is_refused(server: Server) -> None:
    status, _ = server.post("/api/what-if", b'{"text": "' + b"x" * (2 << 20) + b'"}')
    assert status == 413


def test_a_page_of_another_site_is_refused(server: Server) -> None:
    status, _ = server.post(
        "/api/what-if", {"text": PLAIN}, {"Origin": "https://elsewhere.example"}
    )
    assert status == 403


def test_a_link_is_made_and_opened(server: Server) -> None:
    status, plain = server.post("/api/what-if/link", {"text": WITH_FAULTS})
    assert status == 200
    assert server.post("/api/what-if", {"link": plain["link"]})[1]["text"] == WITH_FAULTS
    assert server.post("/api/what-if", {"link": "1nonsense"})[0] == 422


def test_the_page_begins_with_each_cluster_and_an_example(server: Server) -> None:
    _, text, _ = server.get("/api/what-if/start")
    starts: list[dict[str, Any]] = json.loads(text)["starts"]
    assert len(starts) == 2
    for start in starts:
        assert server.post("/api/what-if", {"text": start["text"]})[0] == 200


def test_the_server_answers_others_while_it_computes(server: Server) -> None:
    """A long question holds nobody up: the event loop does not wait for it."""

    async def both() -> tuple[int, int]:
        long = asyncio.to_thread(server.post, "/api/what-if", {"text": PLAIN, "runs": 50})
        short = asyncio.to_thread(server.get, "/api/session")
        (slow, _), (quick, _, _) = await asyncio.gather(long, short)
        return slow, quick

    assert asyncio.run(both()) == (200, 200)
