"""
A service for tests: a web page that is good, and what it is told to do beside.

`service.py PORT [WORD...]`: `slow` takes 0.3 s to stop, `deaf` ignores SIGTERM, `children` leaves
processes behind that have detached themselves and ignore every signal (`loose`: and have closed all
that they inherited), `dies` ends with status 3 at once.
"""

from __future__ import annotations

import http.server
import os
import signal
import socketserver
import subprocess
import sys
import time
from typing import Any

PORT, WORDS = int(sys.argv[1]), sys.argv[2:]
# Detached as daemons are: a child of a child, in a session of its own.
_DETACHED = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
while True:
    time.sleep(1)
"""


class Page(http.server.BaseHTTPRequestHandler):
    """Answers with 200."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"well\n")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Server(socketserver.TCPServer):
    allow_reuse_address = True


def main() -> None:
    if "dies" in WORDS:
        sys.exit(3)

    def stop(*_: Any) -> None:
        if "slow" in WORDS:
            time.sleep(0.3)
        os._exit(0)

    signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in WORDS else stop)
    signal.signal(signal.SIGUSR1, stop)
    if "children" in WORDS:
        for _ in range(3):
            # They keep what they inherit open, as children of most programs do, or are `loose`.
            detached = [sys.executable, "-c", _DETACHED, *sys.argv]
            subprocess.run(detached, check=True, close_fds="loose" in WORDS)
    with Server(("127.0.0.1", PORT), Page) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
