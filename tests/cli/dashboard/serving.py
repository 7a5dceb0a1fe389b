"""`he-fsm dashboard` as a process of its own, and pages of it in headless Chromium."""

from __future__ import annotations

import http.client
import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.cli.conftest import command_line, environment
from tests.report.browser import CHROMIUM

# Without a sandbox, as everywhere where tests run as root.
_OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking")


@attrs.frozen
class Dashboard:
    """A dashboard that is served; `link`: its address, which ends with a slash."""

    link: str
    process: subprocess.Popen[str]
    token: str = ""

    @property
    def port(self) -> int:
        return int(self.link.rsplit(":", 1)[1].strip("/"))

    @property
    def start(self) -> str:
        """The address by which a person comes in."""
        return f"{self.link}login#{self.token}" if self.token else self.link

    def get(self, path: str) -> Any:
        """Ask as a program does; return the JSON of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        found = json.loads(answer.read())
        connection.close()
        assert answer.status == 200, found
        return found


@contextmanager
def served(*words: object) -> Iterator[Dashboard]:
    """Serve a dashboard on a free port; it is ended like by Ctrl-C in a unit."""
    command = command_line("dashboard", "--port", "0", *words)
    process = subprocess.Popen(
        command, env=environment({"PYTHONUNBUFFERED": "1"}), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", line), line
        yield Dashboard(line, process)
    finally:
        process.terminate()
        status = process.wait(20)
        assert process.stdout is not None
        process.stdout.close()
    assert status == 0


@contextmanager
def served_with_changes(folder: Path, *words: object) -> Iterator[Dashboard]:
    """Serve a dashboard that may change things, with a token."""
    with served_with_token(folder, "--allow-changes", *words) as found:
        yield found


@contextmanager
def served_with_token(folder: Path, *words: object) -> Iterator[Dashboard]:
    """Serve a dashboard that people have to log in to."""
    token = secrets.token_urlsafe(24)
    path = folder / "token"
    path.write_text(f"{token}\n", encoding="ascii")
    path.chmod(0o600)
    with served("--token-file", path, *words) as found:
        yield attrs.evolve(found, token=token)


@contextmanager
def chromium() -> Iterator[Any]:
    """Start the system's Chromium, driven by Playwright; skip where one of them is missing."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: it comes with the package chromium")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is missing: pip install 'he-fsm[test]'"
    )
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(_OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Any, link: str, **options: Any) -> Iterator[Any]:
    """Open a page that shows hosts; what it logs as an error, or asks of another site, fails."""
    troubles: list[str] = []
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 1000}, **options})
    page = context.new_page()
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "console",
        lambda message: troubles.append(message.text) if message.type == "error" else None,
    )
    origin = re.match(r"https?://[^/]+/", link)
    assert origin is not None
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((origin[0], "data:"))
            else troubles.append(f"asks {request.url}")
        ),
    )
    page.troubles = troubles
    try:
        page.goto(link)
        page.wait_for_selector("tr[data-host]")
        yield page
    finally:
        context.close()
    assert troubles == []
