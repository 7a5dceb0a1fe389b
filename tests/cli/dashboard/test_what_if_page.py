"""The what-if page in a real browser, by mouse and by keyboard."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml

from he_fsm.testing.waiting import until
from tests.cli.conftest import command_line
from tests.cli.dashboard.serving import Dashboard, chromium, served, served_with_token
from tests.cli.dashboard.test_demo_page import axe  # noqa: F401 - a fixture
from tests.dashboard.whatif.files import WITH_FAULTS

pytestmark = [pytest.mark.browser, pytest.mark.once]
# So long an answer may take on a busy machine (seconds).
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def demo() -> Iterator[Dashboard]:
    with served("--demo") as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Any, demo: Dashboard) -> Iterator[Any]:
    """Yield the page with the file of these tests."""
    with new_page(browser) as found:
        opened(found, demo)
        yield found


@contextmanager
def new_page(browser: Any, **options: Any) -> Iterator[Any]:
    """Yield an empty page; what its scripts or its own rules complain about fails the test."""
    context = browser.new_context(**{"viewport": {"width": 1400, "height": 1000}, **options})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_S * 1000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if is_complaint(said) else None)
    try:
        yield page
    finally:
        context.close()
    assert complaints == []


def is_complaint(said: Any) -> bool:
    """Whether a page complains: that a scenario is wrong is an answer, of HTTP status 422."""
    return said.type == "error" and "status of 422" not in said.text


def opened(page: Any, demo: Dashboard, text: str = WITH_FAULTS) -> None:
    """Open the page, and a file on it."""
    page.goto(f"{demo.link}what-if")
    page.wait_for_selector("body.ready")
    page.locator("#open").set_input_files(
        {"name": "mine.yaml", "mimeType": "text/plain", "buffer": text.encode()}
    )
    soon(lambda: page.locator("#file").inner_text() == "mine.yaml")
    soon(lambda: page.locator("#text").input_value() == text)


def soon(condition: Callable[[], object]) -> None:
    until(condition, within_s=PATIENCE_S)


def scenario(page: Any) -> dict[str, Any]:
    """Return the scenario as the text on the page has it."""
    found: dict[str, Any] = yaml.safe_load(page.locator("#text").input_value())["scenarios"][0]
    return found


def fault(page: Any, index: int) -> Any:
    return page.locator(f'g.fault[role="button"][data-index="{index}"]')


def label(page: Any, index: int) -> str:
    return str(fault(page, index).get_attribute("aria-label"))


def played(text: str, folder: Path) -> dict[str, Any]:
    """Return what `he-fsm simulate` says of a file."""
    path = folder / "played.yaml"
    path.write_text(text)
    command = command_line("simulate", "--json", path)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (found,) = json.loads(done.stdout)["scenarios"]
    return dict(found)


def numbers(page: Any) -> dict[str, str]:
    cells = page.locator("#numbers div").all()
    return {each.locator("dt").inner_text(): each.locator("dd").inner_text() for each in cells}


def middle(locator: Any) -> tuple[float, float]:
    locator.scroll_into_view_if_needed()
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def dragged(page: Any, locator: Any, dx: float, dy: float) -> None:
    """Drag something by so many pixels, in steps as a hand does."""
    x, y = middle(locator)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx / 2, y + dy / 2)
    page.mouse.move(x + dx, y + dy)
    page.mouse.up()


def test_a_fault_is_dragged_to_another_time_and_host(page: Any) -> None:
    lanes = page.locator("g.lane .band").all()
    one, two = (each.bounding_box()["y"] for each in lanes[1:3])
    dragged(page, fault(page, 0).locator(".grip"), 120, two - one)
    soon(lambda: scenario(page)["timeline"][0]["host"] == 2)
    moved = scenario(page)["timeline"][0]
    assert moved["at"] != "60s"
    assert moved["set"] == {"gateway": 0}
    # The comment in front of it is still there.
    assert "# The gateway first." in page.locator("#text").input_value()


@pytest.mark.long
def test_a_fault_is_dropped_from_the_palette_on_a_host(page: Any) -> None:
    lane = page.locator("g.lane .band").nth(3)
    x, y = middle(lane)
    from_x, from_y = middle(page.locator(".chip[data-verb=storage]"))
    page.mouse.move(from_x, from_y)
    page.mouse.down()
    page.mouse.move((from_x + x) / 2, (from_y + y) / 2)
    page.mouse.move(x, y)
    page.mouse.up()
    soon(lambda: len(scenario(page)["timeline"]) == 3)
    added = scenario(page)["timeline"][2]
    assert (added["host"], added["storage"]) == (3, "cut")
    soon(lambda: fault(page, 2).is_visible())


def test_everything_is_done_by_keyboard_alone(page: Any) -> None:
    chip = page.locator(".chip[data-verb=power]")
    chip.focus()
    page.keyboard.press("Enter")
    soon(lambda: len(scenario(page)["timeline"]) == 3)
    soon(lambda: page.evaluate("document.activeElement.dataset.index") == "2")
    assert scenario(page)["timeline"][2] == {"at": "4m", "host": 1, "power": "off"}
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowLeft", "ArrowDown"):
        page.keyboard.press(key)
    soon(lambda: scenario(page)["timeline"][2] == {"at": "3m20s", "host": 2, "power": "off"})
    soon(lambda: label(page, 2) == "0:03:20, host 2: power off")
    page.keyboard.press("Enter")
    soon(lambda: page.evaluate("document.activeElement.closest('#fault') !== null"))
    page.keyboard.press("Control+A")
    page.keyboard.type("5m")
    page.keyboard.press("Tab")
    soon(lambda: scenario(page)["timeline"][2]["at"] == "5m")
    fault(page, 2).focus()
    page.keyboard.press("Delete")
    soon(lambda: len(scenario(page)["timeline"]) == 2)
    page.keyboard.press("Control+z")
    soon(lambda: len(scenario(page)["timeline"]) == 3)


@pytest.mark.long
def test_a_slider_changes_one_value_and_the_answer(page: Any) -> None:
    before = page.locator("#sentence").inner_text()
    slider = page.get_by_label("vm boot, slider")
    page.get_by_text("Surroundings").click()
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    soon(lambda: scenario(page).get("world", {}).get("vm_boot", "") not in ("", "55s"))
    soon(lambda: page.locator("#sentence").inner_text() != before)
    changed = page.locator("#text").input_value()
    assert [each for each in WITH_FAULTS.splitlines() if each not in changed.splitlines()] == []


@pytest.mark.long
def test_the_numbers_are_those_of_the_command_for_the_saved_file(page: Any, tmp_path: Path) -> None:
    page.get_by_label("cpu load, slider").focus()
    page.keyboard.press("End")
    soon(lambda: scenario(page)["hosts"][0].get("cpu_load") == 1)
    with page.expect_download() as download:
        page.locator("#save").click()
    assert download.value.suggested_filename == "mine.yaml"
    text = Path(download.value.path()).read_text()
    assert text == page.locator("#text").input_value()
    said = played(text, tmp_path)
    shown = numbers(page)
    assert shown["starts"] == str(said["totals"]["starts"])
    assert shown["migrations"] == str(said["totals"]["migrations"])
    page.locator("#events summary").click()
    assert page.locator("#events tbody tr").count() == len(said["events"])
    failed = page.locator("#expected li.failed").count()
    assert failed == len(said["failures"]) == 1


@pytest.mark.long
def test_fifty_runs_say_the_median_and_each_can_be_looked_at(page: Any) -> None:
    page.get_by_label("50", exact=True).check()
    soon(lambda: page.locator("#runs").is_visible())
    assert numbers(page)["runs"] == "50"
    assert page.locator("#show option").count() == 50
    page.locator("#show").select_option("7")
    soon(lambda: page.locator("#show").input_value() == "7")


@pytest.mark.long
def test_what_is_typed_is_played_and_an_error_is_shown_where_it_is(page: Any) -> None:
    box = page.locator("#text")
    box.fill(WITH_FAULTS.replace("power: off", "powr: off"))
    soon(lambda: page.locator("#text-error").is_visible())
    said = page.locator("#text-error").inner_text()
    assert said.startswith("mine.yaml:8:30: scenarios[0].timeline[1].powr: unknown key, did you")
    page.locator("#text-error button").click()
    start = page.evaluate("document.getElementById('text').selectionStart")
    assert box.input_value()[start:].startswith("powr: off")
    box.fill(WITH_FAULTS.replace("3m, hosts: [2]", "4m, hosts: [3]"))
    soon(lambda: not page.locator("#text-error").is_visible())
    soon(lambda: label(page, 1) == "0:04:00, host 3: power off")


@pytest.mark.long
def test_the_form_changes_the_verb_and_its_values(page: Any) -> None:
    fault(page, 1).focus()
    page.keyboard.press("Enter")
    page.locator("#fault").get_by_label("verb").select_option("storage")
    soon(lambda: scenario(page)["timeline"][1].get("storage") == "cut")
    assert "power" not in scenario(page)["timeline"][1]
    page.locator("#fault").get_by_label("what").select_option("slow")
    soon(lambda: scenario(page)["timeline"][1]["storage"] == "slow 15s")
    page.locator("#fault").get_by_label("verb").select_option("engine")
    soon(lambda: scenario(page)["timeline"][1] == {"at": "3m", "engine": "kill"})


@pytest.mark.long
def test_faults_of_one_moment_do_not_cover_each_other(page: Any) -> None:
    page.locator("#text").fill(WITH_FAULTS.replace("3m, hosts: [2]", "60s, hosts: [1]"))
    soon(lambda: label(page, 1) == "0:01:00, host 1: power off")
    for index, words in enumerate(("monitors read gateway 0", "power off")):
        page.mouse.click(*middle(fault(page, index).locator(".grip")))
        soon(lambda words=words: page.locator("#fault h3").inner_text() == words)


@pytest.mark.long
def test_a_link_shows_the_same_scenario_to_somebody_else(
    browser: Any, page: Any, demo: Dashboard
) -> None:
    page.locator("#link").click()
    soon(lambda: "#1" in page.evaluate("location.href"))
    with new_page(browser) as other:
        other.goto(page.url)
        other.wait_for_selector("body.ready")
        soon(lambda: other.locator("#text").input_value() == WITH_FAULTS)
    with new_page(browser) as other:
        other.goto(f"{demo.link}what-if#1damaged")
        soon(lambda: "the link is" in other.locator("#toast").inner_text())
        # What there is without a link is shown all the same.
        other.wait_for_selector("body.ready")


@pytest.mark.long
def test_a_link_survives_the_login(browser: Any, page: Any, tmp_path: Path) -> None:
    page.locator("#link").click()
    soon(lambda: "#1" in page.evaluate("location.href"))
    link = page.evaluate("location.hash")
    with served_with_token(tmp_path, "--demo") as locked, new_page(browser) as other:
        other.goto(f"{locked.link}what-if{link}")
        other.locator("#token").fill(locked.token)
        other.get_by_role("button", name="Log in").click()
        other.wait_for_selector("body.ready")
        soon(lambda: other.locator("#text").input_value() == WITH_FAULTS)


@pytest.mark.long
@pytest.mark.parametrize("target", ["//example.com/", "https://example.com/", "http://"])
def test_the_login_leads_to_no_other_site(browser: Any, tmp_path: Path, target: str) -> None:
    with served_with_token(tmp_path, "--demo") as locked, new_page(browser) as other:
        other.goto(f"{locked.link}login?to={target}")
        other.locator("#token").fill(locked.token)
        other.get_by_role("button", name="Log in").click()
        other.wait_for_selector("tr[data-host]")
        assert other.evaluate("location.href") == locked.link


@pytest.mark.long
def test_a_file_is_dropped_on_the_page(page: Any) -> None:
    page.evaluate(
        """(text) => {
            const data = new DataTransfer();
            data.items.add(new File([text], "dropped.yaml"));
            document.body.dispatchEvent(
                new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        WITH_FAULTS.replace("moves", "dropped"),
    )
    soon(lambda: page.locator("#file").inner_text() == "dropped.yaml")
    soon(lambda: scenario(page)["name"] == "dropped")


@pytest.mark.long
def test_the_live_cluster_can_be_asked_about(page: Any) -> None:
    page.locator("#source").select_option(index=0)
    soon(lambda: scenario(page)["name"] == "live")
    assert len(scenario(page)["hosts"]) == 3


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Any, demo: Dashboard, axe: str, scheme: str) -> None:  # noqa: F811
    options = {"color_scheme": scheme, "reduced_motion": "reduce", "bypass_csp": True}
    with new_page(browser, **options) as page:
        opened(page, demo)
        fault(page, 0).focus()
        page.keyboard.press("Enter")
        for summary in page.locator("summary").all():
            if summary.is_visible():
                summary.click()
        page.get_by_label("50", exact=True).check()
        soon(lambda: page.locator("#runs").is_visible())
        page.evaluate(axe)
        found = page.evaluate("axe.run()")
    worst = [
        (each["id"], each["impact"], [node["html"] for node in each["nodes"]][:3])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical", "moderate")
    ]
    assert worst == []


@pytest.mark.long
def test_a_phone_scrolls_in_one_direction_alone(browser: Any, demo: Dashboard) -> None:
    with new_page(browser, viewport={"width": 375, "height": 700}, has_touch=True) as page:
        opened(page, demo)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        page.locator(".chip[data-verb=engine]").tap()
        soon(lambda: len(scenario(page)["timeline"]) == 3)


@pytest.mark.long
def test_paper_shows_the_answer_and_the_timeline(browser: Any, demo: Dashboard) -> None:
    with new_page(browser) as page:
        opened(page, demo)
        page.emulate_media(media="print")
        assert page.locator("#sentence").is_visible()
        assert page.locator("#timeline").is_visible()
        assert not page.locator(".palette").is_visible()
