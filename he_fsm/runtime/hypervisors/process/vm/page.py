"""The health page of the embedded engine, as oVirt's engine has it."""

from __future__ import annotations

import socketserver
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Optional

PATH = "/ovirt-engine/services/health"
BODY = b"DB Up!Welcome to Health Status!"
SICK_BODY = b"DB down"
# A client that sends nothing keeps its thread for so long (seconds).
_CLIENT_S = 5.0


class HealthPage:
    """
    The page on one port of 127.0.0.1; nobody answers while it is closed.

    It has no loop of its own: `answer` is to be called whenever `fileno` can be read.
    """

    def __init__(self, port: int) -> None:
        """Begin closed, and healthy."""
        self.port = port
        self.is_sick = False
        self._server: Optional[_Server] = None

    @property
    def is_open(self) -> bool:
        """Whether it answers."""
        return self._server is not None

    def open(self) -> bool:
        """Begin to answer; False where another process has the port, as a VM that just left."""
        if self._server is None:
            try:
                self._server = _Server(self)
            except OSError:
                return False
        return True

    def close(self) -> None:
        """Answer no longer; the port is free then."""
        if self._server is not None:
            self._server.server_close()
            self._server = None

    def fileno(self) -> int:
        """Return the listening socket's descriptor; -1: the page is closed."""
        return -1 if self._server is None else self._server.fileno()

    def answer(self) -> None:
        """Take one request and answer it, in a thread of its own."""
        if self._server is not None:
            self._server.handle_request()


class _Server(socketserver.ThreadingTCPServer):
    # The port is taken over from a VM that has just closed it.
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128
    timeout = 0

    def __init__(self, page: HealthPage) -> None:
        self.page = page
        super().__init__(("127.0.0.1", page.port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away; anything else is a bug."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _CLIENT_S

    def do_GET(self) -> None:
        if self.path != PATH:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        is_sick = self.server.page.is_sick
        body = SICK_BODY if is_sick else BODY
        self.send_response(HTTPStatus.INTERNAL_SERVER_ERROR if is_sick else HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Write no line for each look at the page."""
