"""What the dashboard costs, and how soon it shows what is so."""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from daemons import _CROWD, QUIET, _block, _daemons, _lab, _wait_for
from table import Row

from he_fsm.lab.host import LabHost
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile, create

_BROWSERS = 20
_WATCHED_S = 60.0
_CHANGES = 10
_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
_MAIN = "from he_fsm.cli.main import main; main()"


def dashboard() -> Iterator[Row]:
    """Measure with real daemons and a real browser; without Chromium, what needs none."""
    with _lab(QUIET) as lab:
        host = lab.hosts["1"]
        _wait_for(lambda: any(each.vm() for each in lab.hosts.values()))
        alone = _share(_daemons(host)["broker"])
        with _served("--config", host.folder / "config.yaml") as link:
            yield Row("dashboard: page weight, compressed", _weight(link) / 1024, 400.0, "KiB")
            yield _cost(host, link, alone)
            with _browser() as browser:
                if browser is not None:
                    paint_s = _paint_s(browser, link)
                    yield Row("  first paint with data, 3 hosts", paint_s, 1.0, "s")
                    delay_s = _delay_s(browser, host, link)
                    yield Row("  a change in the page, after the broker has it", delay_s, 0.5, "s")
    with tempfile.TemporaryDirectory(prefix="he-fsm-bench-") as name, _browser() as browser:
        if browser is not None:
            with _served("--whiteboard", _crowd(Path(name))) as link:
                paint_s = _paint_s(browser, link)
                yield Row("  first paint with data, 250 hosts", paint_s, 1.0, "s")


@contextlib.contextmanager
def _served(*words: object) -> Iterator[str]:
    command = [sys.executable, "-c", _MAIN, "dashboard", "--port", "0", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - may be missing
    except ImportError:
        yield None
        return
    if _CHROMIUM is None:
        yield None
        return
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def _weight(link: str) -> int:
    """Return how many bytes are sent for the page and all that it loads."""
    waiting, seen, weight = [""], set(), 0
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        plain = urllib.request.urlopen(link + path).read().decode()  # noqa: S310 - our own server
        request = urllib.request.Request(link + path, headers={"Accept-Encoding": "gzip"})  # noqa: S310
        weight += len(urllib.request.urlopen(request).read())  # noqa: S310 - as above
        waiting += re.findall(r'"/(static/[^"]+)"', plain)
    return weight


def _cost(host: LabHost, link: str, alone: float) -> Row:
    """Measure the broker's processor time while many look, beyond that without a dashboard."""
    for _ in range(_BROWSERS):
        threading.Thread(target=_listen, args=(link,), daemon=True).start()
    watched = _share(_daemons(host)["broker"])
    return Row("  20 browsers cost the broker, of one core", (watched - alone) * 100, 1.0, "%")


def _share(process: psutil.Process) -> float:
    before, began = sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(_WATCHED_S)
    return (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began)


def _listen(link: str) -> None:
    """Take the stream as a browser does, for as long as it is served."""
    connection = http.client.HTTPConnection(link.split("/")[2], timeout=30)
    connection.request("GET", "/api/events")
    with contextlib.suppress(OSError, http.client.HTTPException):
        answer = connection.getresponse()
        while answer.readline():
            pass


def _paint_s(browser: Any, link: str) -> float:
    """Return the time from the request until the hosts are painted, of a browser that is new."""
    found = []
    for _ in range(5):
        context = browser.new_context()
        page = context.new_page()
        page.goto(link, wait_until="commit")
        page.wait_for_selector("tr[data-host]")
        painted = "new Promise(done => requestAnimationFrame(() => done(performance.now())))"
        found.append(page.evaluate(painted) / 1e3)
        context.close()
    return statistics.median(found)


def _delay_s(browser: Any, host: LabHost, link: str) -> float:
    """Return how long after a flag is set at the broker the page shows it."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(link)
    page.wait_for_selector("tr[data-host]")
    found = []
    for number in range(_CHANGES):
        is_on = number % 2 == 0
        host.client.maintenance(local=is_on)
        began = time.monotonic()
        page.get_by_text(f"host 1 {'on' if is_on else 'off'}").wait_for()
        found.append(time.monotonic() - began)
    context.close()
    return statistics.median(found)


def _crowd(folder: Path) -> Path:
    path = folder / "whiteboard"
    create(path, _CROWD)
    board = WhiteboardFile(path)
    for host_id in range(1, _CROWD + 1):
        board.write_slot(host_id, _block(host_id, 7))
    return path
