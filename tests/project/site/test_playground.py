"""The playground in headless Chromium: what it shows is what the command prints."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.report.browser import CHROMIUM

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install -e '.[test]'"
)
ROOT = Path(__file__).parents[3]
pytestmark = [
    pytest.mark.long,
    pytest.mark.browser,
    pytest.mark.interpreted,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
# Python has to be loaded and ten scenarios to be played, on whatever machine (milliseconds).
PATIENCE_MS = 150_000
# What looks for what a screen reader would stumble over; npm fetches it by its exact version.
AXE = "axe-core@4.10.3"
# A scenario that no browser plays within the playground's limit.
ENDLESS = """\
scenarios:
  - name: endless
    hosts: 40
    engine: {running_on: 1}
    timeline:
      - {at: 1s, every: 20s, host: 2, set: {cpu_load: 0.3}}
    until: 300d
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    words = ["--output", str(folder / "site"), "--work", str(folder / "work")]
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "build-docs"), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if "to build without network" in done.stderr or "the extra" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    return folder / "site"


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that says nothing."""

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on the loopback; yields the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with served(site) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-background-networking"]
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield found
        found.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """Open the playground, and see that it asks nobody else for anything, and breaks nowhere."""
    context = browser.new_context(accept_downloads=True)
    found = context.new_page()
    asked: list[str] = []
    broken: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    found.on("pageerror", lambda error: broken.append(str(error)))
    found.goto(f"{address}/playground.html")
    found.locator("#playground-app").wait_for()
    yield found
    context.close()
    assert broken == []
    assert [url for url in asked if not url.startswith((address, "blob:", "data:"))] == []


def wait_for(page: Any, text: str) -> None:
    """Wait until the page says how a run ended."""
    page.locator("#playground-state", has_text=text).wait_for(timeout=PATIENCE_MS)


def saved(page: Any, name: str, folder: Path) -> Path:
    """Save one of the files that the page offers."""
    with page.expect_download() as download:
        page.get_by_role("link", name=name).click()
    path = folder / str(download.value.suggested_filename)
    download.value.save_as(path)
    return path


def command(*words: str, cwd: Path) -> str:
    code = f"import sys; sys.path[0] = {str(ROOT)!r}; from he_fsm.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "simulate", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def test_the_talk_is_played_as_the_command_plays_it(page: Any, tmp_path: Path) -> None:
    page.get_by_label("Scenario", exact=True).select_option("all of the talk")
    page.get_by_role("button", name="Run").click()
    wait_for(page, "All 10 passed.")
    scenario = saved(page, "Save the scenario file", tmp_path)
    assert scenario.read_text() == (ROOT / "examples" / "talk.yaml").read_text()
    result = json.loads(saved(page, "Save the result as JSON", tmp_path).read_text())
    wanted = json.loads(command(scenario.name, "--json", cwd=tmp_path))
    assert sum(len(each["events"]) for each in wanted["scenarios"]) > 100
    assert result == wanted
    assert page.locator("#playground-output").text_content() == command(scenario.name, cwd=tmp_path)
    assert page.locator("#playground-pictures figure").count() == 10


def test_a_scenario_that_was_edited_is_played_with_another_seed(page: Any, tmp_path: Path) -> None:
    page.get_by_label("Scenario", exact=True).select_option("host-crash")
    text = page.get_by_label("The scenario file")
    text.fill(text.input_value().replace('downtime: "<= 210s"', 'downtime: "<= 1s"'))
    page.get_by_label("Seed").fill("7")
    page.get_by_role("button", name="Run").click()
    wait_for(page, "1 of 1 failed.")
    scenario = saved(page, "Save the scenario file", tmp_path)
    printed = command(scenario.name, "--seed", "7", cwd=tmp_path)
    assert "FAILED host-crash" in printed
    assert page.locator("#playground-output").text_content() == printed


def test_a_file_that_can_not_be_used_is_named_with_its_line(page: Any) -> None:
    page.get_by_label("The scenario file").fill("scenarios:\n  - name: mine\n    hots: 3\n")
    page.get_by_role("button", name="Run").click()
    wait_for(page, "scenario.yaml:3:5:")
    assert page.locator("#playground-output").is_hidden()
    assert page.get_by_role("button", name="Run").is_enabled()


def test_a_run_without_end_is_stopped_by_hand_and_by_its_limit(page: Any) -> None:
    chosen = page.get_by_label("The scenario file").input_value()
    page.get_by_label("The scenario file").fill(ENDLESS)
    page.get_by_role("button", name="Run").click()
    wait_for(page, "Running")
    page.get_by_role("button", name="Stop").click()
    wait_for(page, "Stopped.")
    page.get_by_role("button", name="Run").click()
    wait_for(page, "Stopped: the run took longer than 30 s.")
    page.get_by_label("The scenario file").fill(chosen)
    page.get_by_role("button", name="Run").click()
    wait_for(page, "It passed.")


def test_a_phone_has_room_for_it(browser: Any, address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800})
    page = context.new_page()
    page.goto(f"{address}/playground.html")
    page.locator("#playground-app").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    npm = shutil.which("npm")
    folder = tmp_path_factory.mktemp("axe")
    words = [str(npm), "pack", "--silent", AXE]
    if (
        npm is None
        or subprocess.run(words, cwd=folder, capture_output=True, check=False).returncode
    ):
        pytest.skip(f"npm can't fetch {AXE}")
    [package] = folder.glob("*.tgz")
    with tarfile.open(package) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index", "playground", "three-in-the-morning", "all-commands"])
def test_a_screen_reader_stumbles_over_nothing(
    browser: Any, address: str, axe: str, name: str, scheme: str
) -> None:
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{address}/{name}.html")
    if name == "playground":
        # By the keyboard alone.
        page.get_by_label("The scenario file").press("Control+Enter")
        wait_for(page, "It passed.")
    page.evaluate(axe)
    found = page.evaluate("axe.run()")["violations"]
    context.close()
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
