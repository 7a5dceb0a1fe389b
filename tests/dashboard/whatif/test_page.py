"""The what-if page in a real browser, by mouse and by keyboard."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from he_fsm.testing.waiting import until
from tests.dashboard.browser import chromium, needs_browser, new_page, serious_findings
from tests.dashboard.whatif.files import WITH_FAULTS
from tests.dashboard.whatif.serving import Server, demo_server

pytestmark = [pytest.mark.browser, pytest.mark.once, needs_browser]
_CODE = "from he_fsm.cli.main import main; main()"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with demo_server(tmp_path_factory.mktemp("page")) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    """Yield the page with the file of these tests."""
    with new_page(browser) as found:
        opened(found, server)
        yield found


def opened(page: Any, server: Server, text: str = WITH_FAULTS, address: str = "/what-if") -> None:
    page.goto(server.address + address)
    page.wait_for_selector("body.ready")
    page.locator("#open").set_input_files(
        {"name": "mine.yaml", "mimeType": "text/plain", "buffer": text.encode()}
    )
    until(lambda: page.locator("#file").inner_text() == "mine.yaml")


def scenario(page: Any) -> dict[str, Any]:
    """Return the scenario as the text on the page has it."""
    found: dict[str, Any] = yaml.safe_load(page.locator("#text").input_value())["scenarios"][0]
    return found


def fault(page: Any, index: int) -> Any:
    return page.locator(f'g.fault[role="button"][data-index="{index}"]')


def label(page: Any, index: int) -> str:
    return str(fault(page, index).get_attribute("aria-label"))


def played(text: str, folder: Path, *options: str) -> dict[str, Any]:
    """Return what `he-fsm simulate` says of a file."""
    path = folder / "played.yaml"
    path.write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", _CODE, "simulate", "--json", *options, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    (found,) = json.loads(done.stdout)["scenarios"]
    return dict(found)


def numbers(page: Any) -> dict[str, str]:
    cells = page.locator("#numbers div").all()
    return {each.locator("dt").inner_text(): each.locator("dd").inner_text() for each in cells}


def middle(page: Any, locator: Any) -> tuple[float, float]:
    locator.scroll_into_view_if_needed()
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def dragged(page: Any, locator: Any, dx: float, dy: float) -> None:
    """Drag something by so many pixels, in steps as a hand does."""
    x, y = middle(page, locator)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx / 2, y + dy / 2)
    page.mouse.move(x + dx, y + dy)
    page.mouse.up()


def test_a_fault_is_dragged_to_another_time_and_host(page: Any) -> None:
    lanes = page.locator("g.lane .band").all()
    one, two = (each.bounding_box()["y"] for each in lanes[1:3])
    dragged(page, fault(page, 0).locator(".grip"), 120, two - one)
    until(lambda: scenario(page)["timeline"][0]["host"] == 2)
    moved = scenario(page)["timeline"][0]
    assert moved["at"] != "60s"
    assert moved["set"] == {"gateway": 0}
    # The comment in front of it is still there.
    assert "# The gateway first." in page.locator("#text").input_value()


def test_a_fault_is_dropped_from_the_palette_on_a_host(page: Any) -> None:
    lane = page.locator("g.lane .band").nth(3)
    x, y = middle(page, lane)
    from_x, from_y = middle(page, page.locator(".chip[data-verb=storage]"))
    page.mouse.move(from_x, from_y)
    page.mouse.down()
    page.mouse.move((from_x + x) / 2, (from_y + y) / 2)
    page.mouse.move(x, y)
    page.mouse.up()
    until(lambda: len(scenario(page)["timeline"]) == 3)
    added = scenario(page)["timeline"][2]
    assert (added["host"], added["storage"]) == (3, "cut")
    until(lambda: fault(page, 2).is_visible())


def test_everything_is_done_by_keyboard_alone(page: Any) -> None:
    chip = page.locator(".chip[data-verb=power]")
    chip.focus()
    page.keyboard.press("Enter")
    until(lambda: len(scenario(page)["timeline"]) == 3)
    until(lambda: page.evaluate("document.activeElement.dataset.index") == "2")
    assert scenario(page)["timeline"][2] == {"at": "4m", "host": 1, "power": "off"}
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowLeft", "ArrowDown"):
        page.keyboard.press(key)
    until(lambda: scenario(page)["timeline"][2] == {"at": "3m20s", "host": 2, "power": "off"})
    until(lambda: label(page, 2) == "0:03:20, host 2: power off")
    page.keyboard.press("Enter")
    until(lambda: page.evaluate("document.activeElement.closest('#fault') !== null"))
    page.keyboard.press("Control+A")
    page.keyboard.type("5m")
    page.keyboard.press("Tab")
    until(lambda: scenario(page)["timeline"][2]["at"] == "5m")
    fault(page, 2).focus()
    page.keyboard.press("Delete")
    until(lambda: len(scenario(page)["timeline"]) == 2)
    page.keyboard.press("Control+z")
    until(lambda: len(scenario(page)["timeline"]) == 3)


def test_a_slider_changes_one_value_and_the_answer(page: Any) -> None:
    before = page.locator("#sentence").inner_text()
    slider = page.get_by_label("vm boot, slider")
    page.get_by_text("Surroundings").click()
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    until(lambda: scenario(page).get("world", {}).get("vm_boot", "") not in ("", "55s"))
    until(lambda: page.locator("#sentence").inner_text() != before)
    changed = page.locator("#text").input_value()
    assert [each for each in WITH_FAULTS.splitlines() if each not in changed.splitlines()] == []


def test_the_numbers_are_those_of_the_command_for_the_saved_file(page: Any, tmp_path: Path) -> None:
    page.get_by_label("cpu load, slider").focus()
    page.keyboard.press("End")
    until(lambda: scenario(page)["hosts"][0].get("cpu_load") == 1)
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


def test_fifty_runs_say_the_median_and_each_can_be_looked_at(page: Any) -> None:
    page.get_by_label("50", exact=True).check()
    until(lambda: page.locator("#runs").is_visible(), within_s=60.0)
    assert numbers(page)["runs"] == "50"
    assert page.locator("#show option").count() == 50
    page.locator("#show").select_option("7")
    until(lambda: page.locator("#show").input_value() == "7")


def test_what_is_typed_is_played_and_an_error_is_shown_where_it_is(page: Any) -> None:
    box = page.locator("#text")
    box.fill(WITH_FAULTS.replace("power: off", "powr: off"))
    until(lambda: page.locator("#text-error").is_visible())
    said = page.locator("#text-error").inner_text()
    assert said.startswith("mine.yaml:8:30: scenarios[0].timeline[1].powr: unknown key, did you")
    page.locator("#text-error button").click()
    start = page.evaluate("document.getElementById('text').selectionStart")
    assert box.input_value()[start:].startswith("powr: off")
    box.fill(WITH_FAULTS.replace("3m, hosts: [2]", "4m, hosts: [3]"))
    until(lambda: not page.locator("#text-error").is_visible())
    until(lambda: label(page, 1) == "0:04:00, host 3: power off")


def test_the_form_changes_the_verb_and_its_values(page: Any) -> None:
    fault(page, 1).focus()
    page.keyboard.press("Enter")
    page.locator("#fault").get_by_label("verb").select_option("storage")
    until(lambda: scenario(page)["timeline"][1].get("storage") == "cut")
    assert "power" not in scenario(page)["timeline"][1]
    page.locator("#fault").get_by_label("what").select_option("slow")
    until(lambda: scenario(page)["timeline"][1]["storage"] == "slow 15s")
    page.locator("#fault").get_by_label("verb").select_option("engine")
    until(lambda: scenario(page)["timeline"][1] == {"at": "3m", "engine": "kill"})


def test_a_link_shows_the_same_scenario_to_somebody_else(
    browser: Any, page: Any, server: Server
) -> None:
    page.locator("#link").click()
    until(lambda: "#1" in page.evaluate("location.href"))
    with new_page(browser) as other:
        other.goto(page.url)
        other.wait_for_selector("body.ready")
        until(lambda: other.locator("#text").input_value() == WITH_FAULTS)
    with new_page(browser) as other:
        other.goto(f"{server.address}/what-if#1damaged")
        until(lambda: "the link is" in other.locator("#toast").inner_text())
        # What there is without a link is shown all the same.
        other.wait_for_selector("body.ready")


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
    until(lambda: page.locator("#file").inner_text() == "dropped.yaml")
    until(lambda: scenario(page)["name"] == "dropped")


def test_the_live_cluster_can_be_asked_about(page: Any) -> None:
    page.locator("#source").select_option(index=0)
    until(lambda: scenario(page)["name"] == "live")
    assert len(scenario(page)["hosts"]) == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out(browser: Any, server: Server, scheme: str) -> None:
    with new_page(browser, color_scheme=scheme, reduced_motion="reduce") as page:
        opened(page, server)
        fault(page, 0).focus()
        page.keyboard.press("Enter")
        for summary in page.locator("summary").all():
            if summary.is_visible():
                summary.click()
        page.get_by_label("50", exact=True).check()
        until(lambda: page.locator("#runs").is_visible(), within_s=60.0)
        assert serious_findings(page) == []


def test_a_phone_scrolls_in_one_direction_alone(browser: Any, server: Server) -> None:
    with new_page(browser, viewport={"width": 375, "height": 700}, has_touch=True) as page:
        opened(page, server)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        page.locator(".chip[data-verb=engine]").tap()
        until(lambda: len(scenario(page)["timeline"]) == 3)


def test_paper_shows_the_answer_and_the_timeline(browser: Any, server: Server) -> None:
    with new_page(browser) as page:
        opened(page, server)
        page.emulate_media(media="print")
        assert page.locator("#sentence").is_visible()
        assert page.locator("#timeline").is_visible()
        assert not page.locator(".palette").is_visible()
