"""The page in a browser: what it shows of the demo, for everybody, on every screen."""

from __future__ import annotations

import gzip
import io
import re
import shutil
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from he_fsm.metadata import EngineStatus, HostRecord, encode_slot
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile, create
from he_fsm.testing.waiting import until
from tests.cli.dashboard.serving import Dashboard, chromium, opened, served

pytestmark = pytest.mark.browser
# Of the npm registry; it is asked for by its exact version.
AXE = ("axe-core", "4.10.3")


@pytest.fixture(scope="module")
def demo() -> Iterator[Dashboard]:
    with served("--demo") as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def test_it_is_all_there_and_labelled_as_a_demo(browser: Any, demo: Dashboard) -> None:
    with opened(browser, demo.link) as page:
        text = page.inner_text("main")
        for words in (
            *("demo: nothing of this is real", "Engine", "Lease", "Maintenance", "Agent of host 1"),
            *("alder.example.com", "EngineUp", "2400", "The last hours", "What happened, and why"),
        ):
            assert words in text
        assert page.locator("tr[data-host]").count() == 3
        until(lambda: page.locator("svg rect").count() > 10, within_s=60.0)
        page.wait_for_selector("text=live")
        # Nothing can be changed without being asked for on the command line.
        assert not page.locator(".deeds").is_visible()


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_screen(
    browser: Any, demo: Dashboard, width: int, scheme: str
) -> None:
    viewport = {"width": width, "height": 900}
    with opened(browser, demo.link, viewport=viewport, color_scheme=scheme) as page:
        page.wait_for_selector("svg rect")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        light = sum(map(int, re.findall(r"\d+", ground)[:3])) > 3 * 128
        assert light is (scheme == "light")


@pytest.mark.long
def test_the_keyboard_alone_reaches_everything(browser: Any, demo: Dashboard) -> None:
    with opened(browser, demo.link) as page:
        page.wait_for_selector("svg rect")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "clusters"
        seen = []
        for _ in range(30):
            page.keyboard.press("Tab")
            seen.append(
                page.evaluate("(document.activeElement.innerText || document.activeElement.type)")
            )
            if "Monitors of this host" in seen[-1]:
                break
        # The span's radio buttons are one stop; the box for details another.
        assert {"radio", "checkbox"} <= set(seen)
        page.keyboard.press("Enter")
        assert (
            page.get_by_role("cell", name="gateway")
            .or_(page.get_by_role("rowheader", name="gateway"))
            .is_visible()
        )


@pytest.mark.long
def test_another_span_is_drawn_by_the_keyboard(browser: Any, demo: Dashboard) -> None:
    with opened(browser, demo.link) as page:
        page.get_by_label("6 h").check()
        label = page.locator("svg").get_attribute("aria-label")
        assert "over 6 h" in label


@pytest.mark.long
def test_details_are_shown_when_they_are_asked_for(browser: Any, demo: Dashboard) -> None:
    with opened(browser, demo.link) as page:
        events = page.locator(".events")
        page.get_by_role("button", name=re.compile("Show all")).click()
        before = events.locator("tbody tr").count()
        assert before > 25
        page.get_by_label("scores and leases too").check()
        assert events.locator("tbody tr").count() > before
        assert "score 2400 \u2192 1400: -1000 gateway (down)" in events.inner_text()


@pytest.mark.long
def test_a_printed_page_has_all_of_it(browser: Any, demo: Dashboard) -> None:
    with opened(browser, demo.link) as page:
        page.wait_for_selector("svg rect")
        page.emulate_media(media="print")
        assert not page.get_by_role("button", name=re.compile("Show all")).is_visible()
        assert page.locator("svg").is_visible()
        assert len(page.pdf()) > 10_000


@pytest.mark.long
def test_a_screen_reader_finds_its_way(browser: Any, demo: Dashboard) -> None:
    with opened(browser, demo.link) as page:
        for role in ("banner", "main"):
            assert page.get_by_role(role).count() == 1
        hosts = page.get_by_role("region", name="Hosts").get_by_role("table")
        columns = [each.inner_text() for each in hosts.get_by_role("columnheader").all()]
        assert columns[:3] == ["host", "state", "score"]
        assert hosts.get_by_role("rowheader").count() == 3
        assert page.get_by_role("log").count() == 1
        picture = page.locator("svg[role=img]")
        assert "Engine: " in picture.get_attribute("aria-label")


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the script of axe-core, fetched by npm; skip where it can't be had."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm to fetch axe-core with")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run(
        [npm, "pack", "--silent", "@".join(AXE)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"npm can't fetch {'@'.join(AXE)}")
    (packed,) = folder.glob("*.tgz")
    with tarfile.open(packed) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing(
    browser: Any, demo: Dashboard, axe: str, scheme: str, width: int
) -> None:
    viewport = {"width": width, "height": 900}
    # The page's own rules let no script in that is not its own; the test's is let in by this.
    options = {"viewport": viewport, "color_scheme": scheme, "bypass_csp": True}
    with opened(browser, demo.link, **options) as page:
        page.wait_for_selector("svg rect")
        page.evaluate(axe)
        found = page.evaluate("axe.run()")
    worst = [
        (each["id"], each["impact"], [node["html"] for node in each["nodes"]][:3])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical", "moderate")
    ]
    assert worst == []


@pytest.mark.long
def test_a_slow_link_shows_the_page_and_says_that_it_is_live(browser: Any, demo: Dashboard) -> None:
    context = browser.new_context()
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    # A bad mobile link: 400 ms and 20 kB/s.
    session.send(
        "Network.emulateNetworkConditions",
        {
            "offline": False,
            "latency": 400,
            "downloadThroughput": 20_000,
            "uploadThroughput": 20_000,
        },
    )
    page.goto(demo.link, wait_until="commit")
    page.wait_for_selector("tr[data-host]", timeout=60_000)
    page.wait_for_selector("#link-tag.good", timeout=60_000)
    context.close()


def test_the_page_weighs_little(demo: Dashboard) -> None:
    """All that is loaded before the first paint, as it is sent (bytes)."""
    seen: set[str] = set()
    waiting, weight = ["/"], 0
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        request = urllib.request.Request(  # noqa: S310 - our own server
            demo.link.rstrip("/") + path, headers={"Accept-Encoding": "gzip"}
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - as above
            packed = answer.read()
        weight += len(packed)
        text = gzip.GzipFile(fileobj=io.BytesIO(packed)).read().decode()
        waiting += re.findall(r'(?:src|href|from) ?=? ?"(/static/[^"]+)"', text)
    assert "/static/live/lanes.js" in seen
    assert weight < 60 * 1024


def test_what_is_loaded_is_what_is_shipped() -> None:
    """No page names another site."""
    folder = Path(__file__).parents[3] / "he_fsm" / "dashboard"
    pages = [path for path in folder.rglob("*") if path.suffix in (".html", ".css", ".js")]
    assert pages
    for path in pages:
        found = set(re.findall(r"https?://[^\"'\s)]+", path.read_text(encoding="utf-8")))
        assert found <= {"http://www.w3.org/2000/svg"}, path


HOSTS = 250


@pytest.fixture
def crowd(tmp_path: Path) -> Path:
    """Return a whiteboard of many hosts; host 7 lacks its gateway, and slot 9 is damaged."""
    path = tmp_path / "whiteboard"
    create(path, HOSTS)
    board = WhiteboardFile(path)
    for host_id in range(1, HOSTS + 1):
        why = "-1000 gateway (down)" if host_id == 7 else "all is well"
        record = HostRecord(
            host_id=host_id,
            timestamp=100,
            score=1400 if host_id == 7 else 2400,
            engine=EngineStatus("down", "bad", "unknown"),
            hostname=f"host{host_id}.example.com",
        )
        text = f"state=EngineDown\nscore-why={why}\n"
        board.write_slot(host_id, encode_slot(record, text))
    board.write_slot(9, b"\x01" * 4096)
    return path


@pytest.mark.long
def test_many_hosts_are_all_there_and_one_is_found(browser: Any, crowd: Path) -> None:
    with served("--whiteboard", crowd) as found, opened(browser, found.link) as page:
        rows = page.locator("tr[data-host]")
        assert rows.count() == HOSTS
        assert "-1000 gateway: down" in page.locator("tr[data-host='7']").inner_text()
        assert "can't be believed" in page.locator("tr[data-host='9']").inner_text()
        page.get_by_text(f"Not drawn: {HOSTS - 12} more hosts").wait_for()
        page.get_by_label("Show only hosts with this text").fill("host77.")
        assert [row.get_attribute("data-host") for row in rows.all() if row.is_visible()] == ["77"]
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
