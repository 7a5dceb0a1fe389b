"""
What the two clients of vdsm promise alike, with the lab's server and with vdsm's own.

Without vdsm's code, which `make interop VDSM=DIR` has, the library and the server are those here.
"""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Union

import pytest

from he_fsm.lab.vdsm.server import VdsmServer
from he_fsm.runtime.vdsm.client import OwnClient
from he_fsm.runtime.vdsm.connection import Address
from he_fsm.runtime.vdsm.interface import (
    VdsmClient,
    VdsmError,
    VdsmSilentError,
    VdsmUnreachableError,
)
from he_fsm.runtime.vdsm.packaged import PackagedClient
from he_fsm.runtime.vdsm.session import Times
from he_fsm.runtime.vdsm.tls import Certificates
from he_fsm.testing.waiting import until
from tests.runtime.vdsm.library import Library
from tests.runtime.vdsm.original import MADE, OriginalServer, install, library
from tests.runtime.vdsm.scene import (
    QUICK,
    VM_ID,
    VM_STATUS,
    Heard,
    Verbs,
    made_certificates,
    no_more_threads_than,
    thread_names,
)

Server = Union[VdsmServer, OriginalServer]
SERVERS = ("lab", "original") if MADE else ("lab",)
CLIENTS = ("own", "package", "package's interface") if MADE else ("own", "package's interface")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    made = made_certificates(tmp_path_factory.mktemp("pki"))
    if MADE:
        install(made)
    return made


class Scene:
    """One kind of client, one kind of server, with TLS or without."""

    def __init__(self, client: str, server: str, certificates: Certificates | None) -> None:
        self.verbs = Verbs()
        self.client = client
        self._server = server
        self._certificates = certificates

    @contextmanager
    def served(self) -> Iterator[Server]:
        kind = VdsmServer if self._server == "lab" else OriginalServer
        server: Server = kind(self.verbs, certificates=self._certificates)
        server.start()
        try:
            yield server
        finally:
            server.close()

    @contextmanager
    def connected(self, port: int, heard: Heard | None = None) -> Iterator[VdsmClient]:
        place = Address("127.0.0.1", port, self._certificates)
        client: VdsmClient
        if self.client == "own":
            client = OwnClient(place, heard, times=QUICK)
        else:
            lib = library() if self.client == "package" else Library(self._certificates)
            client = PackagedClient(lib, place, heard, times=QUICK)
        with closing(client):
            yield client


@pytest.fixture(params=CLIENTS)
def client_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=SERVERS)
def server_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["plain", "TLS"])
def scene(
    request: pytest.FixtureRequest, client_kind: str, server_kind: str, certificates: Certificates
) -> Scene:
    return Scene(client_kind, server_kind, certificates if request.param == "TLS" else None)


@pytest.fixture
def plain(client_kind: str) -> Scene:
    return Scene(client_kind, "lab", None)


def test_calls_and_their_errors(scene: Scene) -> None:
    with scene.served() as server, scene.connected(server.port) as client:
        assert client.call("Host.ping2") is True
        given = {"text": "ü\n:\\ \0", "numbers": [1, 2.5, None, True], "long": "x" * 300_000}
        assert client.call("Host.echo", given) == given
        with pytest.raises(VdsmError) as caught:
            client.call("VM.getStats", {"vmID": VM_ID})
        assert caught.value.code == -32601


def test_many_threads_have_their_own_answers(scene: Scene) -> None:
    with scene.served() as server, scene.connected(server.port) as client:
        numbers = range(60)
        with ThreadPoolExecutor(6) as threads:
            answers = threads.map(lambda n: client.call("Host.echo", {"n": n}), numbers)
            assert [answer["n"] for answer in answers] == list(numbers)


def test_events_come(scene: Scene) -> None:
    heard = Heard()
    with scene.served() as server, scene.connected(server.port, heard) as client:
        until(lambda: heard.losses)
        client.call("Host.ping2")
        server.emit(VM_STATUS, {VM_ID: {"status": "Down", "exitCode": 0}})
        until(lambda: heard.events)
    name, params = heard.events[0]
    assert name == VM_STATUS
    assert params[VM_ID] == {"status": "Down", "exitCode": 0}
    assert params["notify_time"] > 2**31


def test_a_call_waits_while_vdsm_recovers(scene: Scene) -> None:
    with scene.served() as server, scene.connected(server.port) as client:
        server.faults.is_recovering = True
        with pytest.raises(VdsmError) as caught:
            client.call("Host.ping2", timeout_s=0.7)
        assert caught.value.code == 99
        with ThreadPoolExecutor(1) as threads:
            waits = threads.submit(client.call, "Host.ping2", {}, 10)
            server.faults.is_recovering = False
            assert waits.result() is True


def test_a_verb_without_end_ends_at_the_deadline(scene: Scene) -> None:
    scene.verbs.verbs["VM.create"] = lambda _: time.sleep(1.5)
    with scene.served() as server, scene.connected(server.port) as client:
        client.call("Host.ping2")
        began_at = time.monotonic()
        with pytest.raises(VdsmSilentError, match=r"does not answer within .*: VM\.create"):
            client.call("VM.create", timeout_s=0.3)
        assert time.monotonic() - began_at < 1.2
        assert client.call("Host.ping2") is True


@pytest.mark.parametrize("how", ["drop_connections", "reset_connections"])
def test_a_lost_connection_is_told_and_comes_back(
    plain: Scene, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "he_fsm.runtime.vdsm")
    heard = Heard()
    with plain.served() as server:
        assert isinstance(server, VdsmServer)
        before = thread_names()
        with plain.connected(server.port, heard) as client:
            until(lambda: heard.losses)
            client.call("Host.ping2")
            getattr(server, how)()
            until(lambda: len(heard.losses) >= 3)
            assert client.call("Host.ping2") is True
            server.emit(VM_STATUS, {VM_ID: {"status": "Up"}})
            until(lambda: heard.events)
        until(lambda: no_more_threads_than(before))
    assert heard.losses[1].startswith("the connection was lost: ")
    assert heard.losses[2] == "the connection is new"
    assert len(lines_of(plain, caplog)) == 2


def lines_of(scene: Scene, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the client logs; under the package's interface there is another one."""
    module = "client" if scene.client == "own" else "packaged"
    records = [each for each in caplog.records if each.name == f"he_fsm.runtime.vdsm.{module}"]
    return [each.getMessage() for each in records]


def test_a_restart_of_vdsm_is_survived(plain: Scene) -> None:
    heard = Heard()
    with plain.served() as server:
        port = server.port
        with plain.connected(port, heard) as client:
            assert client.call("Host.ping2") is True
            server.close()
            with pytest.raises(VdsmUnreachableError):
                client.call("Host.ping2", timeout_s=1)
            with closing(VdsmServer(plain.verbs, port=port)) as again:
                again.start()
                until(lambda: answers(client))
                assert heard.losses[-1] == "the connection is new"


def answers(client: VdsmClient) -> bool:
    try:
        return client.call("Host.ping2", timeout_s=1) is True
    except VdsmUnreachableError:
        return False


def test_without_a_vdsm_a_call_fails_soon_and_is_named_once(
    plain: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    with plain.served() as server:
        port = server.port
    with plain.connected(port) as client:
        for _ in range(3):
            with pytest.raises(VdsmUnreachableError, match="Connection refused") as caught:
                client.call("VM.create")
            assert not isinstance(caught.value, VdsmSilentError)
    assert len(lines_of(plain, caplog)) == 1


def test_a_server_of_another_ca_is_not_trusted(
    client_kind: str, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> None:
    strange = made_certificates(tmp_path_factory.mktemp("strange"))
    there, here = Scene(client_kind, "lab", strange), Scene(client_kind, "lab", certificates)
    refusal = pytest.raises(VdsmUnreachableError, match="not trusted")
    with there.served() as server, here.connected(server.port) as client, refusal:
        client.call("Host.ping2")


def test_a_password_stands_in_no_error(plain: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "he_fsm")
    plain.verbs.verbs["VM.pause"] = lambda _: time.sleep(1)
    with plain.served() as server, plain.connected(server.port) as client:
        for verb in ("VM.setTicket", "VM.pause"):
            with pytest.raises((VdsmError, VdsmUnreachableError)) as caught:
                client.call(verb, {"password": "correct horse"}, 0.3)
            assert "horse" not in f"{caught.value!r} {caught.value}"
    ours = [each for each in caplog.records if each.name.startswith("he_fsm")]
    assert not [each for each in ours if "horse" in each.getMessage()]


def test_closing_ends_the_threads(plain: Scene) -> None:
    with plain.served() as server:
        before = thread_names()
        with plain.connected(server.port, Heard()) as client:
            client.call("Host.ping2")
        until(lambda: no_more_threads_than(before))
        with pytest.raises(VdsmUnreachableError, match="this client is closed"):
            client.call("Host.ping2")


def test_a_quiet_connection_lives_by_heart_beats(server_kind: str) -> None:
    """The server closes after 1 s of silence, and the client after 2.5 s; nothing else is said."""
    heard = Heard()
    times = Times(send_every_s=0.3, promised_s=1.0, wanted_s=1.0, silent_after_s=2.5)
    with (
        Scene("own", server_kind, None).served() as server,
        closing(OwnClient(Address("127.0.0.1", server.port, None), heard, times=times)),
    ):
        until(lambda: heard.losses)
        began_at = time.monotonic()
        until(lambda: time.monotonic() - began_at > 3.5)
    assert heard.losses == ["the connection is new"]


def test_thousands_of_calls_leave_memory_descriptors_and_threads_where_they_were(
    plain: Scene,
) -> None:
    count = 10_000 if MADE else 1_000
    with plain.served() as server, plain.connected(server.port, Heard()) as client:

        def ask(count: int) -> tuple[int, int, Counter[str]]:
            for number in range(count):
                assert client.call("Host.echo", {"n": number}) == {"n": number}
            plain.verbs.calls.clear()
            until(lambda: "Host.echo" not in thread_names())
            gc.collect()
            descriptors = len(list(Path("/proc/self/fd").iterdir()))
            return sys.getallocatedblocks(), descriptors, thread_names()

        ask(200)
        before, after = ask(200), ask(count)
    # Blocks of memory: one of each call would be as many as there are calls.
    assert after[0] - before[0] < count / 2
    assert after[1] <= before[1]
    assert not after[2] - before[2]
