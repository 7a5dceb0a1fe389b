"""The toy's guest: python -m he_fsm_toy_guest PORT BOOT_S SHUTDOWN_S HOST_ID WITNESS."""

from __future__ import annotations

import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from he_fsm.runtime.hypervisors.process.vm.witness import Witness

sick = threading.Event()


class Page(BaseHTTPRequestHandler):
    """The health page."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(500 if sick.is_set() else 200)
        self.end_headers()
        self.wfile.write(b"" if sick.is_set() else b"DB Up!")

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def main() -> None:
    """Serve until SIGTERM; SIGUSR1 makes the page bad, SIGUSR2 good again."""
    port, boot_s, shutdown_s, host_id, witness = sys.argv[1:]
    ends = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ends.set())
    signal.signal(signal.SIGUSR1, lambda *_: sick.set())
    signal.signal(signal.SIGUSR2, lambda *_: sick.clear())
    log = Witness(Path(witness), int(host_id))
    log.executes("start")
    if not ends.wait(float(boot_s)):
        server = ThreadingHTTPServer(("127.0.0.1", int(port)), Page)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        ends.wait()
        server.shutdown()
        server.server_close()
    time.sleep(float(shutdown_s))
    log.rests("stop")


if __name__ == "__main__":
    main()
