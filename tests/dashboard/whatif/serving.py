"""The dashboard as a process of its own, and requests to it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional, Union

import attrs
import requests

from he_fsm.testing.waiting import until

_CODE = "from he_fsm.cli.main import main; main()"


@attrs.define
class Server:
    """A dashboard that runs."""

    address: str
    session: requests.Session = attrs.field(factory=requests.Session)
    sign: str = ""

    def get(self, path: str) -> tuple[int, str, Mapping[str, str]]:
        """Return status, text and headers."""
        found = self.session.get(self.address + path, timeout=60)
        return found.status_code, found.text, found.headers

    def post(
        self,
        path: str,
        body: Union[bytes, Mapping[str, Any]],
        headers: Optional[Mapping[str, str]] = None,
    ) -> tuple[int, dict[str, Any]]:
        """Send as our own page does; return status and JSON."""
        if not self.sign:
            self.sign = json.loads(self.get("/api/session")[1])["sign"]
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", "X-He-Fsm-Sign": self.sign, **(headers or {})}
        found = self.session.post(self.address + path, data=data, headers=sent, timeout=60)
        return found.status_code, found.json()


@contextlib.contextmanager
def demo_server(folder: Path, *options: str) -> Iterator[Server]:
    """Yield a dashboard that shows the demo, or what the options say."""
    log = folder / "address"
    shown = options or ("--demo",)
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", _CODE, "dashboard", "--port", "0", *shown], stdout=out
        )
    try:
        until(lambda: log.read_text().endswith("\n") or process.poll() is not None, within_s=60.0)
        yield Server(log.read_text().strip().rstrip("/"))
    finally:
        process.terminate()
        process.wait(30)
