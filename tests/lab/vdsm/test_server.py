"""
The server's wire, as bytes on a socket: each form that the protocol has, and what is refused.

The same tests hold for vdsm's own server, which `make interop VDSM=DIR` has at the other end.
"""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Optional, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.errors import HeFsmError
from he_fsm.lab.vdsm.server import VdsmServer
from he_fsm.runtime.vdsm.frames import Frame, Parser, encode
from he_fsm.testing.waiting import until
from tests.runtime.vdsm.original import MADE, OriginalServer
from tests.runtime.vdsm.scene import VM_ID, VM_STATUS, Verbs, served

CONNECT = b"CONNECT\naccept-version:1.2\nheart-beat:0,0\n\n\0"
REQUESTS = "jms.topic.vdsm_requests"
RESPONSES = "jms.topic.vdsm_responses"


class Client:
    """A client of bytes."""

    def __init__(self, server: Server) -> None:
        self.raw = socket.create_connection(("127.0.0.1", server.port), 5)
        self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.parser = Parser()
        self.frames: list[Frame] = []

    def close(self) -> None:
        self.raw.close()

    def join(self) -> Client:
        """Connect as far as STOMP has it."""
        self.send(CONNECT)
        frame = self.frame()
        assert frame is not None
        assert frame.command == "CONNECTED"
        return self

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.raw.sendall(piece)

    def subscribe(self, queue: str, name: str = "s1") -> None:
        self.send(encode(Frame("SUBSCRIBE", {"destination": queue, "ack": "auto", "id": name})))

    def ask(self, body: Any, reply_to: Optional[str] = "r", queue: str = REQUESTS) -> None:
        headers = {"destination": queue, "content-type": "application/json"}
        if reply_to is not None:
            headers["reply-to"] = reply_to
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send(encode(Frame("SEND", headers, text)))

    def frame(self) -> Optional[Frame]:
        """Return the next frame; None: the server closed the connection."""
        while not self.frames:
            data = self.raw.recv(65536)
            if not data:
                return None
            self.frames += self.parser.feed(data)
        return self.frames.pop(0)

    def said(self) -> Any:
        frame = self.frame()
        assert frame is not None
        assert frame.command == "MESSAGE"
        return json.loads(frame.body)


Server = Union[VdsmServer, OriginalServer]


@contextmanager
def started(kind: str, verbs: Verbs) -> Iterator[Server]:
    server = OriginalServer(verbs) if kind == "original" else VdsmServer(verbs)
    server.start()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module", params=["lab", "original"] if MADE else ["lab"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def verbs() -> Verbs:
    return Verbs()


@pytest.fixture(scope="module")
def server(kind: str, verbs: Verbs) -> Iterator[Server]:
    with started(kind, verbs) as server:
        yield server


@pytest.fixture
def stranger(server: Server) -> Iterator[Client]:
    """Return a client that has said nothing yet."""
    with closing(Client(server)) as client:
        yield client


@pytest.fixture
def client(stranger: Client) -> Client:
    return stranger.join()


def call(method: str = "Host.echo", params: Any = None, **more: Any) -> dict[str, Any]:
    made = {"jsonrpc": "2.0", "method": method, "id": str(uuid.uuid4()), "params": params or {}}
    return {**made, **more}


# The session.


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("0,24000", "24000,0"),
        ("36000,0", "0,36000"),
        ("10,20", "1000,1000"),
        ("nonsense", "0,0"),
        (None, "0,0"),
    ],
)
def test_heart_beats_are_agreed_on(stranger: Client, asked: str | None, answered: str) -> None:
    headers = {"accept-version": "1.2", **({"heart-beat": asked} if asked else {})}
    stranger.send(encode(Frame("CONNECT", headers)))
    assert stranger.frame() == Frame("CONNECTED", {"version": "1.2", "heart-beat": answered})


def test_a_heart_beat_comes_when_nothing_else_does(stranger: Client) -> None:
    stranger.send(b"CONNECT\naccept-version:1.2\nheart-beat:0,1000\n\n\0")
    assert stranger.frame() is not None
    assert stranger.raw.recv(10) == b"\n"


def test_a_client_that_promised_and_is_silent_is_closed(stranger: Client) -> None:
    stranger.send(b"CONNECT\naccept-version:1.2\nheart-beat:1000,0\n\n\0")
    assert stranger.frame() is not None
    stranger.raw.settimeout(35)
    assert stranger.frame() is None


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"CONNECT\naccept-version:1.1\n\n\0", "Version unsupported"),
        (b"CONNECT\naccept-version:1.1,1.2\n\n\0", "Version unsupported"),
        (b"SUBSCRIBE\nid:i\n\n\0", "Missing destination or subscription id header"),
        (b"SUBSCRIBE\ndestination:d\n\n\0", "Missing destination or subscription id header"),
        (b"SUBSCRIBE\ndestination:d\nid:i\n\n\0" * 2, "Subscription id already exists"),
        (b"UNSUBSCRIBE\n\n\0      ", "Missing id header"),
        (b"SEND\ndestination:nobody.is.here\n\nx\0", "Subscription not available"),
    ],
)
def test_what_is_refused_is_told_and_the_connection_stays(
    client: Client, sent: bytes, error: str
) -> None:
    client.send(sent.rstrip(b" "))
    frame = client.frame()
    assert frame is not None
    assert (frame.command, frame.body) == ("ERROR", error.encode())
    client.subscribe("r", "another")
    client.ask([call(params={"n": 1})])
    assert client.said()["result"] == {"n": 1}


@pytest.mark.parametrize(
    "sent",
    [
        b"STOMP\naccept-version:1.2\n\n\0",
        b"BEGIN\ntransaction:t\n\n\0",
        b"CONNECT\nno colon\n\n\0",
        b"SEND\na:b:c\n\nx\0",
        b"SEND\ncontent-length:1\n\nxx\0",
        b"SEND\n\nwithout a destination\0",
        b"DISCONNECT\n\n\0",
    ],
)
def test_what_vdsm_closes_the_connection_for_is_closed(client: Client, sent: bytes) -> None:
    client.send(sent)
    assert client.frame() is None


def test_a_receipt_answers_disconnect_alone(client: Client) -> None:
    client.send(b"SUBSCRIBE\ndestination:r\nid:i\nreceipt:1\n\n\0")
    client.send(b"DISCONNECT\nreceipt:2\n\n\0")
    assert client.frame() == Frame("RECEIPT", {"receipt-id": "2"})


def test_unsubscribing_ends_the_messages(client: Client, server: Server) -> None:
    client.subscribe("jms.queue.events", "events")
    client.send(b"UNSUBSCRIBE\nid:events\n\n\0", b"UNSUBSCRIBE\nid:unknown\n\n\0")
    client.subscribe("r", "r")
    client.ask([call()])
    assert "result" in client.said()
    server.emit(VM_STATUS, {})
    client.ask([call()])
    assert "result" in client.said()


# The first bytes.


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"PUT /image HTTP/1.1\r\n\r\n", b"HTTP/1.1 501 Not Implemented"),
        (b"GET /image HTTP/1.1\r\n\r\n", b"HTTP/1.1 501 Not Implemented"),
        (b"POST /image HTTP/1.1\r\n\r\n", b""),
        (b"STOMP\naccept-version:1.2\n\n\0", b""),
        (b"\nCONNECT\naccept-version:1.2\n\n\0", b""),
    ],
)
def test_another_protocol_is_not_served(
    stranger: Client, kind: str, sent: bytes, answered: bytes
) -> None:
    stranger.send(sent)
    # Here, vdsm's own server is without that for images.
    assert received(stranger.raw, 28) == (answered if kind == "lab" else b"")


def received(raw: socket.socket, length: int) -> bytes:
    try:
        return raw.recv(length)
    except ConnectionResetError:
        # A close with bytes that nobody read.
        return b""


def test_the_server_decides_after_eleven_bytes(stranger: Client) -> None:
    stranger.send(b"POST / HTT")
    stranger.raw.settimeout(0.2)
    with pytest.raises(OSError, match="timed out"):
        stranger.raw.recv(1)
    stranger.raw.settimeout(5)
    stranger.send(b"P")
    assert received(stranger.raw, 1) == b""


# Requests.


@pytest.mark.parametrize("queue", [REQUESTS, "jms.topic.vdsm_irs_requests", f"{REQUESTS}.below"])
@pytest.mark.parametrize("is_array", [True, False])
def test_one_call_is_answered_by_an_object(client: Client, queue: str, *, is_array: bool) -> None:
    client.subscribe("r")
    asked = call(params={"n": 1})
    client.ask([asked] if is_array else asked, queue=queue)
    frame = client.frame()
    assert frame is not None
    assert dict(frame.headers) == {
        "destination": "r",
        "content-type": "application/json",
        "subscription": "s1",
    }
    assert json.loads(frame.body) == {"jsonrpc": "2.0", "id": asked["id"], "result": {"n": 1}}


def test_parameters_may_come_by_position() -> None:
    verbs = Verbs()
    verbs.verbs["VM.create"] = dict
    with served(verbs) as server, closing(Client(server)) as client:
        client.join().subscribe("r")
        client.ask([call("VM.create", [VM_ID, {"xml": "<x/>"}])])
        assert client.said()["result"] == {"vmID": VM_ID, "vmParams": {"xml": "<x/>"}}
        client.ask([call("VM.create", [1, 2, 3])])
        assert client.said()["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"\xff", -32700),
        (b"[]", -32600),
        (b"17", -32603),
        (b'{"id": "x", "method": "Host.ping2"}', -32600),
        (b'{"id": "x", "jsonrpc": "2.0"}', -32600),
        (b'{"id": "x", "jsonrpc": "2.0", "method": "Host.ping2", "params": 1}', -32600),
    ],
)
def test_what_is_no_request_is_answered_to_all(client: Client, body: bytes, code: int) -> None:
    client.subscribe(RESPONSES, "all")
    client.ask(body, reply_to="r")
    said = client.said()
    assert (said["id"], said["error"]["code"]) == (None, code)


def test_an_unknown_method_has_its_code(client: Client) -> None:
    client.subscribe("r")
    client.ask([call("No.method")])
    assert client.said()["error"]["code"] == -32601


@pytest.mark.parametrize(
    ("body", "reply_to"),
    [
        # vdsm 4.50.7 carries these out, and answers nobody.
        ([call(), call()], "r"),
        ([call()], None),
        ([call()], "nobody"),
    ],
)
def test_what_gets_no_answer_is_carried_out(
    kind: str, body: list[Any], reply_to: str | None
) -> None:
    verbs = Verbs()
    with started(kind, verbs) as server, closing(Client(server)) as client:
        client.join().subscribe("r")
        client.ask(body, reply_to)
        until(lambda: len(verbs.calls) == len(body))
        last = call("Host.ping2")
        client.ask([last])
        assert client.said()["id"] == last["id"]


def test_a_call_without_an_id_is_not_carried_out_and_the_original_does_not_survive_it(
    kind: str,
) -> None:
    verbs = Verbs()
    with started(kind, verbs) as server, closing(Client(server)) as client:
        client.join().subscribe("r")
        client.ask([{"jsonrpc": "2.0", "method": "Host.echo", "params": {}}])
        client.ask([call("Host.ping2")])
        if kind == "lab":
            assert client.said()["result"] is True
        else:
            # vdsm 4.50.7: the thread that reads all clients' requests has ended.
            client.raw.settimeout(1)
            with pytest.raises(OSError, match="timed out"):
                client.frame()
    assert "Host.echo" not in [method for method, _ in verbs.calls]


def test_clients_have_their_own_answers(server: Server) -> None:
    with closing(Client(server)) as first, closing(Client(server)) as second:
        for client, queue in ((first, "r1"), (second, "r2")):
            client.join().subscribe(queue)
        for client, queue in ((first, "r1"), (second, "r2"), (first, "r1")):
            asked = call(params={"queue": queue})
            client.ask([asked], queue)
            assert client.said() == {
                "jsonrpc": "2.0",
                "id": asked["id"],
                "result": {"queue": queue},
            }


def test_what_a_client_sends_to_another_queue_is_forwarded(client: Client) -> None:
    client.subscribe("a.b", "above")
    client.send(b"SEND\ndestination:a.b.c\nextra:1\n\nhello\0")
    frame = client.frame()
    assert frame is not None
    assert dict(frame.headers) == {"subscription": "above", "destination": "a.b.c", "extra": "1"}
    assert frame.body == b"hello"


def test_events_go_to_all_who_subscribed(server: Server) -> None:
    with closing(Client(server)) as first, closing(Client(server)) as second:
        for client, queue in ((first, "r1"), (second, "r2")):
            client.join().subscribe("jms.queue.events", "events")
            client.subscribe(queue, "answers")
            # It has subscribed once a later call is answered.
            client.ask([call()], queue)
            client.said()
        server.emit(VM_STATUS, {VM_ID: {"status": "Up"}})
        for client in (first, second):
            said = client.said()
            assert said["method"] == VM_STATUS
            assert said["params"][VM_ID] == {"status": "Up"}
            assert said["params"]["notify_time"] > 2**31
            assert "id" not in said


# Any legal order, split anywhere.

steps = st.lists(
    st.sampled_from(["call", "beat", "other queue", "unsubscribe", "nobody", "crlf"]), max_size=8
)


@given(steps=steps, data=st.data())
def test_frames_in_any_legal_order_split_anywhere_are_all_served(
    server: Server, steps: list[str], data: st.DataObject
) -> None:
    reply_to = str(uuid.uuid4())
    # While vdsm 4.50.7 finds out who is to have a connection, two of its threads may read from it:
    # what comes in several packets before CONNECTED may be lost.
    is_joined = isinstance(server, OriginalServer)
    stream = b"" if is_joined else CONNECT
    stream += encode(Frame("SUBSCRIBE", {"id": "1", "destination": reply_to}))
    asked = []
    for number, step in enumerate(steps):
        if step == "beat":
            stream += b"\n"
        elif step == "other queue":
            stream += encode(Frame("SUBSCRIBE", {"destination": "q", "id": f"q{number}"}))
        elif step == "unsubscribe":
            stream += encode(Frame("UNSUBSCRIBE", {"id": f"q{number - 1}"}))
        elif step == "nobody":
            stream += encode(Frame("SEND", {"destination": str(uuid.uuid4())}, b"x"))
        else:
            made = call(params={"text": "\0\n:\\"})
            asked.append(made["id"])
            headers = {"destination": REQUESTS, "reply-to": reply_to, "unknown": "a:b"}
            frame = encode(Frame("SEND", headers, json.dumps([made]).encode()))
            if step == "crlf":
                head, _, body = frame.partition(b"\n\n")
                frame = head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + body
            stream += frame
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    with closing(Client(server)) as client:
        if is_joined:
            client.join()
        client.send(*(stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)])))
        frames = [
            client.frame() for _ in range(len(asked) + steps.count("nobody") + (not is_joined))
        ]
    commands = [frame.command for frame in frames if frame is not None]
    assert commands[:1] == ["CONNECTED"] or is_joined
    expected = ["CONNECTED"] * (not is_joined) + ["ERROR"] * steps.count("nobody")
    assert sorted(commands) == expected + ["MESSAGE"] * len(asked)
    answers = [json.loads(frame.body) for frame in frames if frame and frame.command == "MESSAGE"]
    assert sorted(answer["id"] for answer in answers) == sorted(asked)


# The port.


def test_a_port_that_is_taken_is_named() -> None:
    with served() as server:
        words = f"no vdsm at 127.0.0.1:{server.port}: Address already"
        with pytest.raises(HeFsmError, match=words):
            VdsmServer(Verbs(), port=server.port).start()


def test_a_server_that_was_closed_leaves_its_port() -> None:
    with served() as server:
        port = server.port
        with closing(Client(server)) as client:
            client.join()
            server.close()
            assert client.frame() is None
        with served(port=port):
            pass
