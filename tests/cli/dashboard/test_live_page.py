"""The page in a browser, of a cluster of real daemons: what it shows, and what it changes."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from he_fsm.testing.waiting import until
from tests.cli.dashboard.serving import (
    Dashboard,
    chromium,
    opened,
    served,
    served_with_changes,
)
from tests.cli.live.live_cluster import ask, living
from tests.runtime.cluster import AGENT, BROKER, Cluster

pytestmark = [pytest.mark.browser, pytest.mark.long]
# So long a change may take on a busy machine, where storage and daemons are slow too (ms).
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from living(tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def dashboard(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    folder = tmp_path_factory.mktemp("dashboard")
    with served_with_changes(folder, "--config", cluster.hosts[1].path) as found:
        yield found


@pytest.fixture
def page(browser: Any, dashboard: Dashboard) -> Iterator[Any]:
    with opened(browser, dashboard.start) as found:
        found.set_default_timeout(PATIENCE_MS)
        yield found


def without_times(plain: Any) -> Any:
    """Return a status without what differs between two looks at a cluster that rests."""
    if isinstance(plain, dict):
        volatile = {"timestamp", "at", "counts", "since", "line", "worked_s", "threads"}
        return {
            key: without_times(value)
            for key, value in plain.items()
            if key not in volatile and not key.endswith("_s")
        }
    if isinstance(plain, list):
        return [without_times(each) for each in plain if "timestamp=" not in str(each)]
    return "number" if isinstance(plain, float) else plain


def test_its_numbers_are_those_of_the_command(cluster: Cluster, dashboard: Dashboard) -> None:
    def both() -> list[Any]:
        said = json.loads(ask(cluster, "status", "--json").stdout)
        return [without_times(said), without_times(dashboard.get("/api/clusters/1/status"))]

    # A machine that is slow for a moment shows it in one of two looks.
    until(lambda: len({json.dumps(each, sort_keys=True) for each in both()}) == 1, within_s=60.0)


def test_its_what_if_is_the_commands(cluster: Cluster, dashboard: Dashboard) -> None:
    """The cluster rests: a moment later the answer is the same, but for how old a renewal is."""

    def both() -> list[Any]:
        words = ("what-if", "maintenance: global", "--seeds", "10", "--json")
        (said,) = json.loads(ask(cluster, *words).stdout)["questions"]
        found = dashboard.get("/api/clusters/1/forecast?deed=global&on=true")
        keys = ("runs", "comes_back", "engine_on", "worst_s", "hosts", "well")
        return [{key: each[key] for key in keys} for each in (said, found)]

    def is_same() -> bool:
        said, found = both()
        return bool(said == found)

    until(is_same, within_s=60.0)


def test_what_was_before_the_dashboard_is_there(browser: Any, cluster: Cluster) -> None:
    with (
        served("--config", cluster.hosts[1].path) as found,
        opened(browser, found.link) as page,
    ):
        page.set_default_timeout(PATIENCE_MS)
        page.get_by_role("button", name="Show all").or_(page.locator(".events")).first.wait_for()
        page.locator(".events").get_by_text("start here").first.wait_for(state="attached")


def test_a_part_of_a_score_that_is_lost_shows(cluster: Cluster, page: Any) -> None:
    cluster.hosts[2].measure(network="0")
    row = page.locator("tr[data-host='2']")
    row.get_by_text("-1000 gateway: down").wait_for()
    assert "1400" in row.inner_text() or "1300" in row.inner_text()
    cluster.hosts[2].measure(network="1")
    row.get_by_text("-1000 gateway: down").wait_for(state="detached")


def test_an_agent_that_dies_is_silent_and_in_the_list(cluster: Cluster, page: Any) -> None:
    cluster.hosts[3].kill(AGENT)
    row = page.locator("tr[data-host='3']")
    row.get_by_text("silent").wait_for()
    page.locator(".warnings").get_by_text("host 3 is silent").wait_for()
    page.locator(".events").get_by_text("it is silent: taken for dead").first.wait_for()
    cluster.hosts[3].start(AGENT)
    row.get_by_text("silent").wait_for(state="detached")


def test_a_broker_that_dies_and_comes_back(cluster: Cluster, page: Any) -> None:
    host = cluster.hosts[1]
    host.kill(BROKER)
    page.get_by_text("No news since").wait_for()
    assert "does not answer" in page.locator(".trouble").inner_text()
    page.locator(".trouble").get_by_text("What is shown is").wait_for()
    # What was known last still stands there.
    assert page.locator("tr[data-host]").count() == 3
    host.start(BROKER)
    page.get_by_text("No news since").wait_for(state="hidden")


def confirm(page: Any, press: Callable[[str], None]) -> str:
    """Wait for the what-if answer in the open dialog, confirm, and return the answer."""
    dialog = page.locator("dialog[open]")
    dialog.locator("button.main:not([disabled])").wait_for()
    answer = str(dialog.locator(".answer").inner_text())
    press("dialog[open] button.main")
    dialog.wait_for(state="detached")
    return answer


def by_mouse(page: Any) -> Callable[[str], None]:
    return lambda selector: page.locator(selector).click()


def by_keyboard(page: Any) -> Callable[[str], None]:
    def press(selector: str) -> None:
        page.locator(selector).focus()
        page.keyboard.press("Enter")

    return press


@pytest.mark.parametrize("way", [by_mouse, by_keyboard])
def test_global_maintenance_begins_and_ends(cluster: Cluster, page: Any, way: Any) -> None:
    press = way(page)
    press("button:has-text('Begin global maintenance')")
    page.locator("dialog[open] select").select_option("2h")
    answer = confirm(page, press)
    assert "engine stays on host" in answer
    page.locator(".facts").get_by_text("global on for ").wait_for()
    assert cluster.hosts[1].client.maintenance().everywhere is True
    assert cluster.hosts[1].client.maintenance().everywhere_until is not None
    press("button:has-text('End global maintenance')")
    confirm(page, press)
    page.locator(".facts").get_by_text("global off").wait_for()
    assert cluster.hosts[1].client.maintenance().everywhere is False


def test_a_dialog_that_is_cancelled_changes_nothing(cluster: Cluster, page: Any) -> None:
    before = cluster.hosts[1].client.maintenance()
    page.get_by_role("button", name="into maintenance").click()
    page.locator("dialog[open] .answer strong").wait_for()
    page.keyboard.press("Escape")
    page.locator("dialog[open]").wait_for(state="detached")
    assert cluster.hosts[1].client.maintenance() == before


def test_the_engine_moves_as_was_said_before(cluster: Cluster, page: Any) -> None:
    until(lambda: cluster.engines() == [1], within_s=60.0)
    page.get_by_role("button", name="Move the engine").click()
    page.locator("dialog[open] select").select_option("3")
    answer = confirm(page, by_mouse(page))
    assert "host 3" in answer
    page.locator(".deeds > p").get_by_text("the engine moves to host 3").wait_for()
    page.locator(".verdict").get_by_text("on host 3").wait_for()
    page.get_by_text("the engine is on host 3: ask there").wait_for()
    until(lambda: cluster.engines() == [3], within_s=60.0)


def test_the_dashboard_that_ends_and_comes_back(browser: Any, cluster: Cluster) -> None:
    """The page says that it is cut off, and goes on with another process."""
    config = cluster.hosts[2].path
    with served("--config", config) as first:
        port = first.port
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(first.link)
        page.wait_for_selector("tr[data-host]")
    page.get_by_text("cut off since").wait_for()
    assert page.locator("tr[data-host]").count() == 3
    with served("--config", config, "--port", port):
        page.locator("#link-tag.good").wait_for()
    context.close()


def test_a_frozen_dashboard_is_noticed(browser: Any, cluster: Cluster) -> None:
    """A connection over which nothing comes any more is none."""
    with served("--config", cluster.hosts[2].path) as found:
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(found.link)
        page.wait_for_selector("tr[data-host]")
        found.process.send_signal(signal.SIGSTOP)
        try:
            page.get_by_text("cut off since").wait_for()
        finally:
            found.process.send_signal(signal.SIGCONT)
        page.locator("#link-tag.good").wait_for()
        context.close()


def test_a_whiteboard_is_enough(browser: Any, cluster: Cluster) -> None:
    words = ("--whiteboard", cluster.shared / "whiteboard", "--leases", cluster.shared / "leases")
    with served(*words) as found, opened(browser, found.link) as page:
        page.set_default_timeout(PATIENCE_MS)
        page.get_by_text("read from the whiteboard itself").wait_for()
        page.locator(".verdict").get_by_text("Engine good on host").wait_for()
        page.locator(".facts").get_by_text("renewed").wait_for()
        assert "3 of 3 alive" in page.inner_text("main")


def test_several_clusters_stand_on_one_page(browser: Any, cluster: Cluster) -> None:
    words = ("--demo", "--config", cluster.hosts[1].path, "--socket", "/none/broker.sock")
    with served(*words) as found, opened(browser, found.link) as page:
        page.set_default_timeout(PATIENCE_MS)
        assert page.locator("section.cluster").count() == 3
        page.get_by_text("the broker at /none/broker.sock does not answer").first.wait_for()
