"""The health page, asked of real servers on the loopback."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

import pytest
import trustme

from he_fsm.errors import MonitorError
from he_fsm.runtime.monitors.engine_health import EngineHealth, has_words, may_follow
from he_fsm.snapshot import Health

GOOD = b"DB Up!Welcome to Health Status!"
Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Server(http.server.ThreadingHTTPServer):
    """Answers each path as it is told; counts who came."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.scheme = "http" if tls is None else "https"
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def url(self, path: str = "/health", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.server_address[1]}{path}"

    def end(self) -> None:
        self.ends.set()
        self.shutdown()
        self.server_close()
        self.thread.join(10)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away early is what these tests are about."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.answers[self.path](self)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass


def page(body: bytes, status: int = 200, headers: Optional[dict[str, str]] = None) -> Answer:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.answers["/health"] = page(GOOD)
    yield server
    server.end()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def authority_file(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


@pytest.fixture
def tls_server(authority: trustme.CA) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = Server(context)
    server.answers["/health"] = page(GOOD)
    yield server
    server.end()


def test_a_good_page_is_good(server: Server) -> None:
    report = EngineHealth(server.url()).measure()
    assert report.health is Health.GOOD
    assert report.why.startswith("'DB Up' in ")
    assert 0 < report.took_s < 20


@pytest.mark.parametrize(
    ("body", "beginning"),
    [
        (b"DB Down", "DB Down"),
        (b"Welcome\nDB Up!", "Welcome"),
        (b"", ""),
        (b"<html>\r\n<p>DB Up</p>", "<html>"),
        (b"\xff\xfe\x00", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_only_the_first_line_counts(server: Server, body: bytes, beginning: str) -> None:
    server.answers["/health"] = page(body)
    report = EngineHealth(server.url()).measure()
    assert report.health is Health.BAD
    assert "the first line does not contain 'DB Up'; it begins" in report.why
    assert beginning in report.why


@pytest.mark.parametrize("status", [201, 204, 404, 500, 503])
def test_another_status_is_bad_whatever_the_page_says(server: Server, status: int) -> None:
    server.answers["/health"] = page(GOOD if status != 204 else b"", status)
    report = EngineHealth(server.url()).measure()
    assert (report.health, report.why) == (Health.BAD, f"HTTP status {status}")


def test_a_page_without_an_end_is_read_as_far_as_needed(server: Server) -> None:
    def endless(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not server.ends.is_set():
            handler.wfile.write(b"x" * 65536)

    server.answers["/health"] = endless
    report = EngineHealth(server.url()).measure()
    assert report.health is Health.BAD
    assert "it begins 'xxx" in report.why


def test_words_beyond_the_limit_are_not_read(server: Server) -> None:
    server.answers["/health"] = page(b"x" * 65536 + GOOD)
    assert EngineHealth(server.url()).measure().health is Health.BAD
    server.answers["/health"] = page(b"x" * 60000 + GOOD)
    assert EngineHealth(server.url()).measure().health is Health.GOOD


def silent(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.server.ends.wait(30)  # type: ignore[attr-defined]


def trickling(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.ends.wait(0.05):  # type: ignore[attr-defined]
        handler.wfile.write(b"x")


def half_a_page(handler: http.server.BaseHTTPRequestHandler) -> None:
    page(b"DB", headers={"Content-Length": "1000"})(handler)
    silent(handler)


@pytest.mark.parametrize(
    ("answer", "health"),
    [(silent, Health.SILENT), (trickling, Health.BAD), (half_a_page, Health.BAD)],
)
def test_a_slow_page_is_judged_in_time_by_whether_it_began_to_answer(
    server: Server, answer: Answer, health: Health
) -> None:
    server.answers["/health"] = answer
    began_at = time.monotonic()
    report = EngineHealth(server.url(), timeout_s=0.5).measure()
    assert report.health is health
    assert "within 0.5 s" in report.why
    assert time.monotonic() - began_at < 10


def test_a_server_that_hangs_up_has_not_answered(server: Server) -> None:
    server.answers["/health"] = lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)
    report = EngineHealth(server.url()).measure()
    assert report.health is Health.SILENT
    assert report.why.startswith("no connection: ")


def test_a_page_that_breaks_off_is_bad(server: Server) -> None:
    server.answers["/health"] = page(b"DB", headers={"Content-Length": "1000"})
    assert EngineHealth(server.url()).measure().health is Health.BAD


def test_a_closed_port_is_no_answer(server: Server) -> None:
    url = server.url()
    server.end()
    report = EngineHealth(url).measure()
    assert report.health is Health.SILENT
    assert "Connection refused" in report.why


@pytest.mark.parametrize(
    "host",
    [
        # Longer than a name can be: there is none, and no name server has to be asked for it.
        ".".join(["engine" * 10] * 5),
        # An address that takes no connections: its network is not reached.
        "255.255.255.255",
    ],
)
def test_a_name_or_a_network_that_is_not_found_is_no_answer(host: str) -> None:
    report = EngineHealth(f"http://{host}/health", timeout_s=2.0).measure()
    assert report.health is Health.SILENT
    assert report.why.startswith("no connection: ")


def test_a_known_certificate_is_trusted(tls_server: Server, authority_file: str) -> None:
    page_there = EngineHealth(tls_server.url(), verify=authority_file)
    assert page_there.measure().health is Health.GOOD


def test_an_unknown_certificate_is_bad(tls_server: Server) -> None:
    report = EngineHealth(tls_server.url()).measure()
    assert report.health is Health.BAD
    assert "certificate" in report.why
    assert tls_server.asked == []


def test_a_certificate_of_another_host_is_bad(tls_server: Server, authority_file: str) -> None:
    url = tls_server.url(host="localhost")
    report = EngineHealth(url, verify=authority_file).measure()
    assert report.health is Health.BAD
    assert "certificate" in report.why


def test_an_administrator_may_trust_everybody(tls_server: Server) -> None:
    assert EngineHealth(tls_server.url(), verify=False).measure().health is Health.GOOD


def test_a_missing_file_of_authorities_is_not_the_engines_fault(tls_server: Server) -> None:
    with pytest.raises(MonitorError, match=r"can't be asked: .*CA certificate"):
        EngineHealth(tls_server.url(), verify="/nowhere/ca.pem").measure()


@pytest.mark.parametrize("url", ["engine/health", "ftp://engine/health", "http://", "http://[/"])
def test_a_url_that_is_none_is_not_the_engines_fault(url: str) -> None:
    with pytest.raises(MonitorError, match="can't be asked"):
        EngineHealth(url).measure()


def test_redirects_are_followed_on_the_same_host(server: Server) -> None:
    server.answers["/old"] = page(b"", 302, {"Location": "/health"})
    assert EngineHealth(server.url("/old")).measure().health is Health.GOOD
    assert server.asked == ["/old", "/health"]


def test_redirects_to_other_hosts_are_not_followed(server: Server) -> None:
    server.answers["/old"] = page(b"", 302, {"Location": server.url(host="localhost")})
    report = EngineHealth(server.url("/old")).measure()
    assert report.health is Health.BAD
    assert report.why.startswith("redirected to http://localhost:")
    assert server.asked == ["/old"]


def test_redirects_in_a_circle_end(server: Server) -> None:
    server.answers["/old"] = page(b"", 302, {"Location": "/old"})
    report = EngineHealth(server.url("/old")).measure()
    assert (report.health, report.why) == (Health.BAD, "redirected more than 5 times")
    assert len(server.asked) == 6


@pytest.mark.parametrize(
    ("url", "target", "may"),
    [
        ("http://engine/a", "http://engine/b", True),
        ("http://engine/a", "https://ENGINE:8443/b", True),
        ("https://engine/a", "http://engine/b", False),
        ("http://engine/a", "http://other/b", False),
        ("http://engine/a", "http://engine@other/b", False),
        ("http://engine/a", "file:///etc/passwd", False),
    ],
)
def test_where_a_redirect_may_lead(url: str, target: str, may: bool) -> None:
    assert may_follow(url, target) is may


def test_proxies_of_the_environment_are_not_asked(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert EngineHealth(server.url()).measure().health is Health.GOOD


def test_the_expected_words_are_configured(server: Server) -> None:
    server.answers["/health"] = page("läuft\n".encode())
    assert EngineHealth(server.url(), body="läuft").measure().health is Health.GOOD
    assert not has_words(b"DB up", "DB Up")


def test_no_connection_is_left_open(server: Server) -> None:
    for _ in range(3):
        EngineHealth(server.url()).measure()
    # A kept connection would hold its handler's thread.
    names = [thread.name for thread in threading.enumerate() if "process_request" in thread.name]
    ends_at = time.monotonic() + 10
    while names and time.monotonic() < ends_at:
        names = [t.name for t in threading.enumerate() if "process_request" in t.name]
    assert names == []
