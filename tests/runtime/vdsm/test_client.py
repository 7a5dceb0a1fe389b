"""he_fsm's own client and a server on loopback: calls, events, deadlines, and what is lost."""

from __future__ import annotations

import gc
import json
import logging
import socket
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from he_fsm.lab.vdsm.faults import Faults
from he_fsm.lab.vdsm.server import VdsmServer
from he_fsm.runtime.vdsm.client import OwnClient
from he_fsm.runtime.vdsm.connection import Address
from he_fsm.runtime.vdsm.frames import Parser
from he_fsm.runtime.vdsm.interface import VdsmError, VdsmSilentError, VdsmUnreachableError
from he_fsm.runtime.vdsm.session import Times
from he_fsm.testing.waiting import until
from tests.runtime.vdsm.scene import (
    QUICK,
    VM_ID,
    VM_STATUS,
    Heard,
    Verbs,
    connected,
    no_more_threads_than,
    served,
    thread_names,
)


def test_a_call_returns_what_the_verb_returns() -> None:
    with served() as server, connected(server) as client:
        assert client.call("Host.ping2") is True
        assert client.call("Host.echo", {"a": [1, None, "ü:\\\n\0"]}) == {
            "a": [1, None, "ü:\\\n\0"]
        }


def test_an_error_has_vdsms_code_and_words() -> None:
    with served() as server, connected(server) as client:
        with pytest.raises(VdsmError, match="does not exist") as caught:
            client.call("VM.getStats", {"vmID": VM_ID})
        assert caught.value.code == -32601
        # The connection goes on.
        assert client.call("Host.ping2") is True


def test_a_verb_that_fails_unexpectedly_is_an_error_of_vdsms() -> None:
    verbs = Verbs()
    verbs.verbs["Host.broken"] = lambda params: params["missing"]
    with served(verbs) as server, connected(server) as client:
        with pytest.raises(VdsmError, match="missing") as caught:
            client.call("Host.broken")
        assert caught.value.code == -32603


def test_a_result_that_json_has_not_is_an_error_of_vdsms() -> None:
    verbs = Verbs()
    verbs.verbs["Host.broken"] = lambda _: {1, 2}
    with served(verbs) as server, connected(server) as client:
        with pytest.raises(VdsmError, match="set") as caught:
            client.call("Host.broken")
        assert caught.value.code == -32603


def test_many_threads_have_their_own_answers() -> None:
    with served() as server, connected(server) as client, ThreadPoolExecutor(8) as threads:
        numbers = range(400)
        answers = threads.map(lambda n: client.call("Host.echo", {"n": n, "pad": "x" * n}), numbers)
        assert [answer["n"] for answer in answers] == list(numbers)


def test_a_slow_call_holds_no_other_up() -> None:
    verbs, goes_on = Verbs(), threading.Event()
    verbs.verbs["VM.create"] = lambda _: goes_on.wait(20)
    with served(verbs) as server, connected(server) as client, ThreadPoolExecutor(1) as threads:
        slow = threads.submit(client.call, "VM.create", {}, 20)
        until(lambda: verbs.calls)
        assert client.call("Host.ping2") is True
        assert not slow.done()
        goes_on.set()
        assert slow.result() is True


@pytest.mark.parametrize("fault", ["is_stuck", "is_silent", "is_deaf"])
def test_a_call_that_never_answers_ends_at_its_deadline(fault: str) -> None:
    with served() as server, connected(server) as client:
        client.call("Host.ping2")
        setattr(server.faults, fault, True)
        began_at = time.monotonic()
        with pytest.raises(VdsmSilentError, match=r"does not answer within 0\.3 s: Host\.ping2"):
            client.call("Host.ping2", timeout_s=0.3)
        assert 0.3 <= time.monotonic() - began_at < 1.3
        setattr(server.faults, fault, False)
        assert client.call("Host.ping2") is True


def test_the_default_deadline_is_five_seconds() -> None:
    with served(faults=Faults(is_stuck=True)) as server, connected(server) as client:
        began_at = time.monotonic()
        with pytest.raises(VdsmSilentError):
            client.call("Host.getStats")
        assert 5 <= time.monotonic() - began_at < 6


def test_an_answer_that_comes_too_late_answers_nothing_else() -> None:
    with served(faults=Faults(delay_s=0.4)) as server, connected(server) as client:
        with pytest.raises(VdsmSilentError):
            client.call("Host.echo", {"n": 1}, timeout_s=0.2)
        assert client.call("Host.echo", {"n": 2}) == {"n": 2}


@pytest.mark.parametrize("fault", ["has_arrays", "has_unknown_fields"])
def test_answers_and_events_in_other_forms_are_understood(fault: str) -> None:
    heard = Heard()
    with served(faults=Faults(**{fault: True})) as server, connected(server, heard) as client:
        assert client.call("Host.echo", {"n": 1})["n"] == 1
        server.emit(VM_STATUS, {VM_ID: {"status": "Up"}})
        until(lambda: heard.events)
        assert heard.events[0][1][VM_ID]["status"] == "Up"


# Code 99.


def test_a_call_waits_while_vdsm_recovers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with served(faults=Faults(is_recovering=True)) as server, connected(server) as client:
        recovers = threading.Timer(0.7, setattr, (server.faults, "is_recovering", False))
        recovers.start()
        assert client.call("Host.echo", {"n": 1}) == {"n": 1}
        recovers.join()
    begin, end = [each.message for each in caplog.records if "recover" in each.message]
    assert "(no TLS) recovers, and does nothing else meanwhile" in begin
    assert "(no TLS) has recovered (after 1 s, 2 times)" in end


def test_a_call_says_at_its_deadline_that_vdsm_recovers() -> None:
    with served(faults=Faults(is_recovering=True)) as server, connected(server) as client:
        began_at = time.monotonic()
        with pytest.raises(VdsmError, match="Recovering from crash") as caught:
            client.call("Host.ping2", timeout_s=1.2)
        assert caught.value.code == 99
        assert time.monotonic() - began_at < 1.3


# Events, and their loss.


def test_events_come_with_the_time_at_which_they_happened() -> None:
    heard = Heard()
    with served() as server, connected(server, heard):
        until(lambda: heard.losses)
        server.emit(VM_STATUS, {VM_ID: {"status": "Up"}})
        server.emit(VM_STATUS, {VM_ID: {"status": "Down", "exitCode": 0}})
        until(lambda: len(heard.events) == 2)
    names, params = zip(*heard.events)
    assert names == (VM_STATUS, VM_STATUS)
    assert [each[VM_ID]["status"] for each in params] == ["Up", "Down"]
    assert 2**31 <= params[0]["notify_time"] <= params[1]["notify_time"]


@pytest.mark.parametrize("how", ["drop_connections", "reset_connections"])
def test_a_lost_connection_is_told_and_comes_back(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    heard = Heard()
    with served() as server, connected(server, heard) as client:
        until(lambda: heard.losses)
        getattr(server, how)()
        until(lambda: len(heard.losses) == 3)
        assert client.call("Host.ping2") is True
        server.emit(VM_STATUS, {VM_ID: {"status": "Up"}})
        until(lambda: heard.events)
    assert heard.losses[0] == heard.losses[2] == "the connection is new"
    assert heard.losses[1].startswith("the connection was lost: ")
    lines = [each.message for each in caplog.records if each.name.endswith("vdsm.client")]
    assert len(lines) == 2
    assert lines[0].startswith(f"no connection to vdsm at {client}: ")
    assert "connected (after" in lines[1]


def test_calls_under_way_fail_at_once_when_the_connection_is_lost() -> None:
    stuck = Faults(is_stuck=True)
    with served(faults=stuck) as server, connected(server) as client, ThreadPoolExecutor() as pool:
        waits = pool.submit(client.call, "VM.create", {}, 20)
        until(lambda: client._calls._sent)
        server.drop_connections()
        with pytest.raises(VdsmSilentError, match=r"VM\.create was sent, and its answer is lost"):
            waits.result(5)


def test_a_call_is_carried_out_once_however_often_the_connection_is_lost() -> None:
    verbs = Verbs()
    with served(verbs, faults=Faults(is_silent=True)) as server, connected(server) as client:
        with ThreadPoolExecutor(1) as threads:
            waits = threads.submit(client.call, "Host.echo", {}, 20)
            until(lambda: verbs.calls)
            server.reset_connections()
            with pytest.raises(VdsmSilentError):
                waits.result(5)
        server.faults.is_silent = False
        client.call("Host.ping2")
    assert [method for method, _ in verbs.calls] == ["Host.echo", "Host.ping2"]


def test_a_restart_of_vdsm_is_survived() -> None:
    heard = Heard()
    with served() as server:
        port = server.port
        with connected(server, heard) as client:
            assert client.call("Host.ping2") is True
            server.close()
            with pytest.raises(VdsmUnreachableError) as caught:
                until(lambda: not client.call("Host.ping2"))
            assert not isinstance(caught.value, VdsmSilentError)
            with served(port=port):
                assert client.call("Host.ping2") is True
                assert heard.losses[-1] == "the connection is new"


# No vdsm, and what is none.


def descriptor_count() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def free_port() -> int:
    with socket.socket() as raw:
        raw.bind(("127.0.0.1", 0))
        return int(raw.getsockname()[1])


def test_without_a_vdsm_a_call_fails_at_once_and_is_never_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = free_port()
    client = OwnClient(Address("127.0.0.1", port, None), times=QUICK)
    began_at = time.monotonic()
    for _ in range(20):
        with pytest.raises(VdsmUnreachableError, match="Connection refused") as caught:
            client.call("VM.create")
        assert not isinstance(caught.value, VdsmSilentError)
    assert time.monotonic() - began_at < 4
    client.close()
    # Twenty times the same trouble is one line.
    assert len(caplog.records) == 1


def test_a_server_that_accepts_and_says_nothing_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = Address("127.0.0.1", silent.getsockname()[1], None)
        client = OwnClient(place, times=Times(connect_s=0.5))
        with pytest.raises(VdsmUnreachableError, match=r"within 0\.2 s"):
            client.call("Host.ping2", timeout_s=0.2)
        with pytest.raises(VdsmUnreachableError, match=r"does not accept .* within 0\.5 s"):
            client.call("Host.ping2", timeout_s=5)
        client.close()


def test_a_call_that_was_given_up_before_it_could_be_sent_is_never_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = OwnClient(Address("127.0.0.1", listening.getsockname()[1], None))
        raw, _ = listening.accept()
        with raw:
            with pytest.raises(VdsmUnreachableError, match="no connection to vdsm") as caught:
                client.call("VM.create", timeout_s=0.1)
            assert not isinstance(caught.value, VdsmSilentError)
            raw.sendall(b"CONNECTED\nversion:1.2\n\n\0")
            with pytest.raises(VdsmSilentError):
                client.call("Host.ping2", timeout_s=0.3)
            sent = Parser().feed(raw.recv(65536))
        client.close()
    assert [json.loads(each.body)[0]["method"] for each in sent if each.body] == ["Host.ping2"]


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no command of STOMP"),
        (b"ERROR\ncontent-length:19\n\nVersion unsupported\0", "vdsm refuses: Version unsupported"),
        (b"MESSAGE\n\n\0", "the first frame is MESSAGE, not CONNECTED"),
        (b"CONNECTED\nversion:1.1\n\n\0", "speaks version 1.1"),
        (b"\x15\x03\x01\x00\x02\x02\x46\n", "no command of STOMP"),
    ],
)
def test_what_is_no_vdsm_is_named(says: bytes, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            # The client comes again, until the port is closed.
            with suppress(OSError):
                while True:
                    raw, _ = listening.accept()
                    with raw:
                        raw.sendall(says)
                        raw.shutdown(socket.SHUT_WR)
                        # To close with bytes that nobody read would be a reset.
                        while raw.recv(1000):
                            pass

        answering = threading.Thread(target=answer)
        answering.start()
        client = OwnClient(Address("127.0.0.1", listening.getsockname()[1], None), times=QUICK)
        with pytest.raises(VdsmUnreachableError, match=words):
            client.call("Host.ping2")
        client.close()
        listening.shutdown(socket.SHUT_RDWR)
        answering.join()


def test_an_unknown_host_is_named() -> None:
    client = OwnClient(Address("no-such-host.invalid", 54321, None), times=QUICK)
    with pytest.raises(VdsmUnreachableError, match=r"no-such-host\.invalid:54321"):
        client.call("Host.ping2")
    client.close()


@pytest.mark.parametrize("host", ["a..b", "x" * 300])
def test_what_is_no_name_of_a_host_is_named(host: str) -> None:
    client = OwnClient(Address(host, 54321, None), times=QUICK)
    with pytest.raises(VdsmUnreachableError, match="is no name of a host"):
        client.call("Host.ping2")
    client.close()


@pytest.mark.parametrize("port", [0, 65536])
def test_a_port_that_no_host_has_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match="port"):
        Address("localhost", port)


# Heart-beats.


def test_a_server_without_heart_beats_is_given_up() -> None:
    heard = Heard()
    times = Times(wanted_s=1.0, silent_after_s=1.2, again_s=0.05)
    mute = Faults(has_no_heartbeats=True)
    with served(faults=mute) as server, connected(server, heard, times=times):
        until(lambda: len(heard.losses) >= 2)
    assert heard.losses[1].startswith("the connection was lost: nothing came for ")


def test_a_half_open_connection_is_noticed_on_both_sides() -> None:
    heard = Heard()
    times = Times(0.5, send_every_s=0.4, promised_s=1, wanted_s=1, silent_after_s=3, again_s=0.05)
    with served() as server, connected(server, heard, times=times) as client:
        client.call("Host.ping2")
        server.faults.is_deaf = True
        until(lambda: len(heard.losses) == 2)
        server.faults.is_deaf = False
        assert client.call("Host.ping2") is True
        # The old connection is no more on the server's side, too.
        until(lambda: server.connection_count == 1)


# The end.


def test_closing_ends_the_calls_the_thread_and_the_descriptors() -> None:
    before, open_before = thread_names(), descriptor_count()
    with served(faults=Faults(is_stuck=True)) as server:
        place = Address("127.0.0.1", server.port, None)
        client = OwnClient(place, Heard())
        with ThreadPoolExecutor(1) as threads:
            waits = threads.submit(client.call, "Host.ping2", {}, 20)
            until(lambda: client._calls._sent)
            client.close()
            client.close()
            with pytest.raises(VdsmSilentError):
                waits.result(5)
        with pytest.raises(VdsmUnreachableError, match="this client is closed"):
            client.call("Host.ping2")
    assert no_more_threads_than(before)
    gc.collect()
    assert descriptor_count() == open_before


def test_closing_does_not_wait_for_a_server_that_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = OwnClient(Address("127.0.0.1", silent.getsockname()[1], None))
        until(lambda: select_connected(silent))
        began_at = time.monotonic()
        client.close()
        assert time.monotonic() - began_at < 1


def select_connected(listening: socket.socket) -> bool:
    listening.settimeout(5)
    listening.accept()[0].close()
    return True


def test_a_listener_that_calls_is_refused_and_the_client_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Wrong(Heard):
        client: OwnClient

        def event(self, _name: str, _params: object) -> None:
            self.client.call("Host.ping2")

    wrong = Wrong()
    with served() as server, connected(server, wrong) as client:
        wrong.client = client
        client.call("Host.ping2")
        server.emit(VM_STATUS, {})
        until(lambda: "a listener makes no calls" in caplog.text)
        assert client.call("Host.ping2") is True


def test_ten_thousand_calls_leave_memory_descriptors_and_threads_where_they_were() -> None:
    heard = Heard()
    with served() as server, connected(server, heard) as client:
        verbs = server._verbs
        assert isinstance(verbs, Verbs)

        def ask(count: int) -> tuple[int, int, Counter[str]]:
            for number in range(count):
                assert client.call("Host.echo", {"n": number}) == {"n": number}
            verbs.calls.clear()
            gc.collect()
            held = sys.getallocatedblocks()
            until(lambda: "Host.echo" not in thread_names())
            return held, descriptor_count(), thread_names()

        ask(200)
        held, descriptors, threads = ask(200)
        held_after, descriptors_after, threads_after = ask(10_000)
    # Blocks of memory; what each call leaves would be thousands.
    assert held_after - held < 1000
    assert descriptors_after <= descriptors
    assert not threads_after - threads


def test_hundreds_of_connections_leave_nothing() -> None:
    with served() as server:
        for _ in range(20):
            with connected(server) as client:
                client.call("Host.ping2")
        before = descriptor_count()
        for _ in range(200):
            with connected(server) as client:
                client.call("Host.ping2")
        until(lambda: server.connection_count == 0)
        until(lambda: descriptor_count() <= before)


@pytest.mark.parametrize("fault", ["is_stuck", "is_recovering", "none"])
def test_a_password_stands_in_no_log_and_in_no_error(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "correct horse"  # noqa: S105 - of this test
    with served() as server, connected(server) as client:
        if fault != "none":
            setattr(server.faults, fault, True)
        with pytest.raises((VdsmError, VdsmUnreachableError)) as caught:
            client.call("VM.setTicket", {"vmID": VM_ID, "password": secret}, 0.2)
    assert secret not in str(caught.value) + repr(caught.value) + caplog.text


def test_a_server_is_served_anew_after_its_thread_failed() -> None:
    """The lab's server goes on, too: its loop is begun anew, on the same port."""
    with served() as server, connected(server) as client:
        client.call("Host.ping2")
        fail(server)
        until(lambda: server._thread.restarts)

        def answers() -> bool:
            try:
                return client.call("Host.ping2", timeout_s=10) is True
            except VdsmUnreachableError:
                # It was sent before the client has seen that the connection is closed.
                return False

        until(answers)


def fail(server: VdsmServer) -> None:
    loop = server._loop
    assert loop is not None

    def stop() -> None:
        raise SystemExit(1)

    loop.call_soon_threadsafe(stop)
