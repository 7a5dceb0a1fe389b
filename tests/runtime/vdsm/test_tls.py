"""TLS with certificates on both sides: real certificates, real sockets, and who is refused."""

from __future__ import annotations

import datetime as dt
import itertools
import logging
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.lab.vdsm.server import VdsmServer
from he_fsm.runtime.vdsm.client import OwnClient
from he_fsm.runtime.vdsm.connection import Address
from he_fsm.runtime.vdsm.interface import VdsmUnreachableError
from he_fsm.runtime.vdsm.tls import Certificates, Tls, TlsError
from he_fsm.testing.waiting import until
from tests.runtime.vdsm.scene import (
    QUICK,
    VM_ID,
    VM_STATUS,
    Heard,
    connected,
    made_certificates,
    served,
)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made_certificates(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made_certificates(tmp_path_factory.mktemp("theirs"))


@pytest.fixture
def server(ours: Certificates) -> Iterator[VdsmServer]:
    with served(certificates=ours) as server:
        yield server


def test_calls_and_events_go_through_tls(server: VdsmServer, ours: Certificates) -> None:
    heard = Heard()
    with connected(server, heard, certificates=ours) as client:
        text = "x" * 200_000
        assert client.call("Host.echo", {"text": text}) == {"text": text}
        server.emit(VM_STATUS, {VM_ID: {"status": "Up"}})
        until(lambda: heard.events)


def test_plain_and_tls_share_the_port(server: VdsmServer, ours: Certificates) -> None:
    with connected(server, certificates=ours) as tls, connected(server) as plain:
        assert tls.call("Host.ping2") is plain.call("Host.ping2") is True


def lines(caplog: pytest.LogCaptureFixture, module: str) -> list[str]:
    return [each.message for each in caplog.records if each.name.endswith(module)]


def refused(place: Address) -> str:
    client = OwnClient(place, times=QUICK)
    try:
        with pytest.raises(VdsmUnreachableError) as caught:
            client.call("Host.ping2")
        with pytest.raises(VdsmUnreachableError):
            client.call("Host.ping2")
    finally:
        client.close()
    return str(caught.value)


def test_a_server_of_another_ca_is_not_trusted(
    server: VdsmServer, ours: Certificates, theirs: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    mixed = Certificates(ours.key, ours.certificate, theirs.ca)
    words = refused(Address("127.0.0.1", server.port, mixed))
    assert "the certificate is not trusted: " in words
    # The client says once what fails with every try.
    assert len(lines(caplog, "vdsm.client")) == 1


def test_a_client_of_another_ca_is_not_served(
    server: VdsmServer, ours: Certificates, theirs: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    mixed = Certificates(theirs.key, theirs.certificate, ours.ca)
    words = refused(Address("127.0.0.1", server.port, mixed))
    assert "TLS: " in words
    assert "unknown ca" in words
    assert len(lines(caplog, "vdsm.client")) == 1
    until(lambda: any("not trusted" in line for line in lines(caplog, "vdsm.server")))


def test_a_client_without_a_certificate_is_not_served(
    server: VdsmServer, ours: Certificates
) -> None:
    context = ssl.create_default_context(cafile=str(ours.ca))
    context.check_hostname = False
    place = ("127.0.0.1", server.port)
    refusal = pytest.raises(ssl.SSLError, match=r"CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE")
    # TLS 1.3 tells the client after its handshake.
    with socket.create_connection(place, 5) as raw, refusal, context.wrap_socket(raw) as tls:
        tls.recv(1)


def test_a_plain_client_is_not_served_where_tls_is_asked_for(
    ours: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    with served(certificates=ours, may_be_plain=False) as server:
        assert "vdsm closed the connection" in refused(Address("127.0.0.1", server.port, None))
    assert "the client speaks no TLS" in lines(caplog, "vdsm.server")[0]


def test_a_client_with_tls_of_a_plain_server_is_told(ours: Certificates) -> None:
    with served() as server:
        words = refused(Address("127.0.0.1", server.port, ours))
    assert "vdsm closed the connection" in words


def test_an_expired_certificate_is_named(tmp_path: Path) -> None:
    authority = trustme.CA()
    ours = made_certificates(tmp_path / "ours", authority)
    past = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
    old = authority.issue_cert("host1.example.org", not_after=past)
    expired = Certificates(tmp_path / "key", tmp_path / "certificate", ours.ca)
    old.private_key_pem.write_to_path(str(expired.key))
    old.cert_chain_pems[0].write_to_path(str(expired.certificate))
    with served(certificates=expired) as server:
        words = refused(Address("127.0.0.1", server.port, ours))
    assert "certificate has expired" in words


def test_renewed_certificates_count_with_the_next_connection(tmp_path: Path) -> None:
    new, old = trustme.CA(), trustme.CA()
    ours = made_certificates(tmp_path / "ours", old)
    with served(certificates=made_certificates(tmp_path / "new", new)) as server:
        client = OwnClient(Address("127.0.0.1", server.port, ours), times=QUICK)
        with pytest.raises(VdsmUnreachableError, match="not trusted"):
            client.call("Host.ping2")
        made_certificates(tmp_path / "ours", new)
        assert client.call("Host.ping2") is True
        client.close()


# Files that can't be used.


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    missing = Certificates(tmp_path / "vdsmkey.pem")
    words = refused(Address("127.0.0.1", 1, missing))
    assert "vdsmkey.pem: No such file or directory; a host that oVirt has deployed has it" in words


@pytest.mark.parametrize("which", ["key", "certificate", "ca"])
def test_a_file_that_is_none_is_named(tmp_path: Path, which: str) -> None:
    made = made_certificates(tmp_path)
    path: Path = getattr(made, which)
    path.write_text("no PEM\n")
    with pytest.raises(TlsError, match=path.name):
        made.context(is_server=False)


def test_a_key_of_another_certificate_is_named(tmp_path: Path, ours: Certificates) -> None:
    made = made_certificates(tmp_path)
    made.key.write_bytes(ours.key.read_bytes())
    with pytest.raises(TlsError, match=r"key\.pem"):
        made.context(is_server=True)


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_a_password(tmp_path: Path) -> None:
    made = made_certificates(tmp_path)
    key = serialization.load_pem_private_key(made.key.read_bytes(), None)
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(TlsError, match="the key is encrypted"):
        made.context(is_server=False)


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    made = made_certificates(tmp_path)
    made.key.unlink()
    made.key.mkdir()
    with pytest.raises(TlsError, match=r"key\.pem: Is a directory"):
        made.context(is_server=False)


# The channel alone: bytes in, bytes out.


# The lengths of the pieces, again and again: TLS itself is never twice as long.
@given(
    sent=st.lists(st.binary() | st.integers(0, 40_000).map(bytes), max_size=3),
    lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=6),
)
def test_what_one_end_sends_comes_to_the_other_however_it_is_split(
    ours: Certificates, sent: list[bytes], lengths: list[int]
) -> None:
    client = Tls(ours.context(is_server=False), is_server=False)
    server = Tls(ours.context(is_server=True), is_server=True)
    for each in sent:
        client.send(each)
    came = b""
    sizes = itertools.cycle(lengths)
    for source, target in ((client, server), (server, client)) * 4:
        stream = source.outgoing()
        while stream:
            size = next(sizes)
            plain = target.received(stream[:size])
            stream = stream[size:]
            came += plain if target is server else b""
    assert client.is_trusted
    assert server.is_trusted
    assert came == b"".join(sent)


def test_the_log_of_a_refused_client_is_one_line_a_try(
    server: VdsmServer, theirs: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    refused(Address("127.0.0.1", server.port, theirs))
    until(lambda: lines(caplog, "vdsm.server"))
    assert all("\n" not in line and "TLS: " in line for line in lines(caplog, "vdsm.server"))
