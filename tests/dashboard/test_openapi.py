"""What is described is what is answered, to whatever is sent: an error is a sentence of JSON."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import attrs
import jsonschema
import pytest
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from he_fsm.dashboard.access.rules import Access
from he_fsm.dashboard.serving import Served, application
from he_fsm.dashboard.sources.demo import DemoSource
from tests.dashboard.asking import TOKEN

pytestmark = pytest.mark.once
# The stream does not end.
ENDLESS = {"/api/events"}
JUNK = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
BODIES = st.recursive(
    JUNK,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["deed", "on", "for", "to", "token"]) | st.text(max_size=5),
            inner | st.sampled_from(["local", "global", "move", "2h", True, 2]),
            max_size=4,
        )
    ),
    max_leaves=8,
)


@attrs.frozen
class Answer:
    """A status, and JSON."""

    status: int
    plain: Any


@attrs.frozen
class Running:
    """A dashboard of the demo, on a port."""

    port: int

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = None if body is None else json.dumps(body).encode()
        connection.request(method, path, data, {"Authorization": f"Bearer {TOKEN}", **headers})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert b"Traceback" not in text
        return Answer(answer.status, json.loads(text))


@pytest.fixture(scope="module")
def dashboard() -> Iterator[Running]:
    loop, found = asyncio.new_event_loop(), {}
    access = Access(token=TOKEN, allows_changes=True)
    served = Served(address="127.0.0.1", port=0, access=access, sources=[DemoSource()])

    async def begin() -> None:
        server = found["server"] = TestServer(application(served))
        await server.start_server()

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(begin(), loop).result(20)
        yield Running(found["server"].port)
    finally:
        asyncio.run_coroutine_threadsafe(found["server"].close(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def described(dashboard: Running) -> dict[str, Any]:
    found = dashboard.ask("GET", "/api/openapi.json")
    assert found.status == 200
    plain: dict[str, Any] = found.plain
    return plain


def operations(described: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in described["paths"].items()
        if path not in ENDLESS
        for method, operation in methods.items()
    ]


def check(operation: dict[str, Any], answer: Answer) -> None:
    """Check an answer by the description: its status, and its form."""
    responses = operation["responses"]
    assert str(answer.status) in responses, answer
    content = responses[str(answer.status)].get("content")
    if content is not None:
        jsonschema.validate(answer.plain, content["application/json"]["schema"])
    if answer.status >= 400:
        assert list(answer.plain) == ["error"]
        assert answer.plain["error"]


def test_every_route_is_described(described: dict[str, Any]) -> None:
    access = Access()
    served = Served(address="127.0.0.1", port=0, access=access, sources=[])
    routes = {
        route.resource.canonical
        for route in application(served).router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/api/")
    }
    assert routes == set(described["paths"])
    assert described["openapi"] == "3.1.0"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_sent_is_answered_as_described(
    dashboard: Running, described: dict[str, Any], data: st.DataObject
) -> None:
    path, method, operation = data.draw(st.sampled_from(operations(described)))
    query = {}
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            value = data.draw(st.sampled_from(["1", "9"]) | st.text(min_size=1, max_size=9))
            path = path.replace(f"{{{parameter['name']}}}", quote(value, safe=""))
        elif parameter["in"] == "query" and data.draw(st.booleans()):
            known = parameter["schema"].get("enum", ["2h", "1"])
            query[parameter["name"]] = data.draw(st.sampled_from(known) | st.text(max_size=9))
    if query:
        path += f"?{urlencode(query)}"
    headers, body = {}, None
    if "requestBody" in operation:
        body = data.draw(BODIES)
        headers["Content-Type"] = data.draw(
            st.sampled_from(["application/json"] * 4 + ["text/plain"])
        )
    check(operation, dashboard.ask(method.upper(), path, body, **headers))


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("deed=move&to=2", 200, "the engine moves to host 2"),
        ("deed=local&on=true&for=2h", 200, "maintenance of host 1 begins, for 2 h"),
        ("deed=global&on=true", 200, "global maintenance begins"),
        ("deed=move&to=1", 409, "the engine is on host 1 already"),
        ("deed=move&to=9", 409, "host 9 can't take the engine: it has no slot on the whiteboard"),
        ("deed=move&to=x", 400, "to: expected a host id, 1 to 2000, got 'x'"),
        ("", 400, "deed: expected local, global, move, got None"),
    ],
)
def test_a_question_is_answered_or_refused_in_words(
    dashboard: Running, described: dict[str, Any], query: str, status: int, said: str
) -> None:
    answer = dashboard.ask("GET", f"/api/clusters/1/forecast?{query}")
    assert answer.status == status, answer
    assert said in (answer.plain["question"] if status == 200 else answer.plain["error"])
    check(described["paths"]["/api/clusters/{cluster}/forecast"]["get"], answer)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_change_nothing(dashboard: Running, method: str) -> None:
    headers = {"Content-Type": "application/json"}
    body = {"deed": "global", "on": True}
    answer = dashboard.ask(method, "/api/clusters/1/deeds", body, **headers)
    assert answer.status in (400, 405)
    assert answer.plain["error"]


def test_the_demo_can_not_be_changed(dashboard: Running) -> None:
    headers = {"Content-Type": "application/json"}
    body = {"deed": "global", "on": True}
    answer = dashboard.ask("POST", "/api/clusters/1/deeds", body, **headers)
    assert answer.status == 409
    assert "nothing can be changed on Demo" in answer.plain["error"]
