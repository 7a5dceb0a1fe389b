from __future__ import annotations

import json
import re
import resource
import sys
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from he_fsm.errors import HeFsmError, MissingExtraError
from he_fsm.report.page import page, write_page
from he_fsm.report.page_lanes import clock_text, lanes
from he_fsm.scenario import parse_scenarios
from he_fsm.simulate import Outcome, simulate
from tests.report.browser import CHROMIUM, drawn, on_a_phone

pytest.importorskip("plotly")

STORY = """\
scenarios:
  - name: story
    about: Host 1 freezes; an agent is killed; a slot is damaged; a host goes into maintenance.
    hosts: 3
    engine: {running_on: 1}
    timeline:
      - {at: 60s, host: 1, power: freeze}
      - {at: 400s, host: 3, slot: corrupt, for: 100s}
      - {at: 900s, engine: hang}
      - {at: 20m, host: 2, agent: kill}
      - {at: 21m, host: 2, agent: start}
      - {at: 22m, host: 3, maintenance: on}
    until: 30m
    expect:
      - {by: 3m, engine: good, engine_on: 2}
      - {at: 10m, engine: down}
  - name: quiet
    hosts: 2
    engine: {running_on: 1}
    until: 10m
"""

NASTY = """\
scenarios:
  - name: "<script>alert(1)</script>"
    about: "</script><b>bold</b> & 'quoted'"
    hosts:
      - {id: 1, name: "<i>one</i>", hostname: "<img src=x>.example.com"}
      - {id: 2}
    engine: {running_on: "<i>one</i>"}
    timeline:
      - {at: 60s, engine: kill}
    until: 10m
    expect:
      - {at: 61s, engine_on: 2}
"""


def outcomes_of(text: str) -> list[Outcome]:
    return [simulate(scenario) for scenario in parse_scenarios(text, "story.yaml")]


@pytest.fixture(scope="module")
def story() -> list[Outcome]:
    return outcomes_of(STORY)


class Elements(HTMLParser):
    """Every element with its attributes, and the page's text outside of scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.data: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = str(dict(attrs).get("type", "code")) if tag in ("script", "style") else ""
        if self._inside == "application/json":
            self.data.append("")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - the parser calls it so
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "application/json":
            self.data[-1] += data
        elif not self._inside:
            self.text += data


def parsed(text: str) -> Elements:
    elements = Elements()
    elements.feed(text)
    return elements


def figures(text: str) -> list[dict[str, list[dict[str, object]]]]:
    return [json.loads(data) for data in parsed(text).data]


def hover_text(figure: dict[str, list[dict[str, object]]]) -> str:
    """Everything that can be pointed at, with line breaks as spaces."""
    texts = [str(text) for trace in figure["data"] for text in trace.get("hovertext") or ()]
    return "\n".join(texts).replace("<br>", " ")


def test_the_page_loads_nothing(story: list[Outcome]) -> None:
    elements = parsed(page(story)).elements
    for tag, attributes in elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base")
        assert "src" not in attributes
        assert attributes.get("href", "#") is not None
        assert str(attributes.get("href", "#")).startswith("#")
    policies = [
        a["content"] for _, a in elements if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies
    assert "default-src 'none'" in str(policies[0])


def test_plotly_is_in_the_page_once(story: list[Outcome]) -> None:
    text = page(story)
    assert len(re.findall(r"plotly\.js v[0-9]", text)) == 1
    assert len(figures(text)) == 2


def test_everything_that_happened_can_be_read(story: list[Outcome]) -> None:
    kinds = {event.kind for event in story[0].events}
    assert {"fault", "state", "score", "vm", "lease", "agent", "problem", "notification"} <= kinds
    shown = parsed(page(story)).text
    for outcome in story:
        for event in outcome.events:
            assert event.text() in shown


def test_everything_in_a_lane_can_be_pointed_at(story: list[Outcome]) -> None:
    hovers = hover_text(figures(page(story))[0])
    for event in story[0].events:
        if event.kind in ("state", "fault", "score", "agent"):
            assert escape(event.text()) in hovers


def test_failures_are_in_the_page_and_on_the_time_axis(story: list[Outcome]) -> None:
    (failure, *_) = story[0].failures
    text = page(story)
    shown = parsed(text).text
    for word in (str(failure.place), failure.expected, failure.seen):
        assert word in shown
    names = [trace["name"] for trace in figures(text)[0]["data"]]
    assert "failure" in names


def test_verdicts_and_totals_are_in_the_page(story: list[Outcome]) -> None:
    shown = parsed(page(story)).text
    assert "2 scenarios: 1 passed, 1 failed" in shown
    for name in story[0].totals:
        assert name.replace("_", " ") in shown


def test_states_cover_the_whole_run_without_overlap(story: list[Outcome]) -> None:
    for lane in lanes(story[0])[0]:
        assert lane.bars[0].start == 0.0
        assert lane.bars[-1].end == story[0].scenario.until
        for before, after in zip(lane.bars, lane.bars[1:]):
            assert before.end == after.start


def test_the_health_bars_add_up_to_the_downtime(story: list[Outcome]) -> None:
    engine = lanes(story[0])[0][0]
    bad_s = sum(bar.end - bar.start for bar in engine.vm if bar.word == "bad")
    assert bad_s == pytest.approx(story[0].totals["downtime"], abs=0.001)


def test_a_killed_agent_has_no_state_until_it_starts_again(story: list[Outcome]) -> None:
    lane = next(lane for lane in lanes(story[0])[0] if lane.name == "2")
    (gap,) = [bar for bar in lane.bars if bar.word == "no agent"]
    assert (gap.start, gap.end) == (1200.0, 1260.0)


def test_what_a_file_says_is_text_and_never_markup() -> None:
    text = page(outcomes_of(NASTY))
    elements = parsed(text)
    assert not {"i", "b", "img"}.intersection(tag for tag, _ in elements.elements)
    assert "<script>alert(1)" not in text
    assert "<script>alert(1)</script>" in elements.text
    assert "</script><b>bold</b> & 'quoted'" in elements.text
    labels = [note["text"] for note in figures(text)[0]["layout"]["annotations"]]  # type: ignore[call-overload]
    assert any(escape("<img src=x>.example.com") in label for label in labels)


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_page(outcomes_of(STORY), tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_no_outcomes_are_a_page_too() -> None:
    assert "0 scenarios" in page([])


@pytest.mark.parametrize(
    ("timeline", "shown", "words"),
    [
        ("{at: 60s, host: 40, power: off}", 12, "48 quiet hosts"),
        ("{at: 60s, maintenance: global}", 30, "30 more hosts with events"),
    ],
)
def test_of_many_hosts_those_with_events_come_first(timeline: str, shown: int, words: str) -> None:
    scenario = f"name: many, hosts: 60, engine: {{running_on: 50}}, timeline: [{timeline}]"
    (outcome,) = outcomes_of(f"scenarios: [{{{scenario}, until: 5m}}]")
    (_, *hosts), left_out = lanes(outcome)
    assert (len(hosts), left_out) == (shown, 60 - shown)
    assert "50" in [lane.name for lane in hosts[:2]]
    assert words in parsed(page([outcome])).text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0:00:00"), (92.373, "0:01:32.373"), (59.9996, "0:01:00"), (97_200.5, "1d 3:00:00.5")],
)
def test_times_read_as_clocks(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


def test_without_plotly_the_error_says_how_to_install_it(
    story: list[Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'he-fsm[report]'")):
        write_page(story, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "missing/page.html", "file/page.html"])
def test_a_path_that_can_not_be_written_is_one_clear_sentence(
    story: list[Outcome], tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(HeFsmError, match=f"^can't write {re.escape(str(tmp_path / name))}: "):
        write_page(story, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_write_that_fails_halfway_keeps_the_old_page(
    story: list[Outcome], tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(HeFsmError, match=r"^can't write "):
            write_page(story, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


def test_a_page_behind_a_link_is_replaced_and_the_link_stays(
    story: list[Outcome], tmp_path: Path
) -> None:
    (tmp_path / "real.html").write_text("old")
    (tmp_path / "link.html").symlink_to("real.html")
    write_page(story, tmp_path / "link.html")
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "real.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.once
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_draws_every_bar(story: list[Outcome], tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_page(story[:1], path)
    wanted = sum(len((*lane.bars, *lane.vm, *lane.lease)) for lane in lanes(story[0])[0])
    assert drawn(path).count('<g class="point"') == wanted


@pytest.mark.once
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_phone_shows_the_whole_width(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    # Long names and messages, and events to read.
    long = f"{'very' * 40}long"
    nasty = outcomes_of(NASTY.replace("alert(1)", long).replace("bold", long))
    # Seven minutes are marked each minute where there is room.
    seven = "scenarios: [{name: seven, hosts: 1, engine: {running_on: 1}, until: 7m}]"
    write_page([*nasty, *outcomes_of(seven)], path)
    width, points, overlaps = on_a_phone(path)
    assert (width, overlaps) == (400, 0)
    assert points


def test_the_heading_names_what_ran_the_scenarios(story: list[Outcome]) -> None:
    assert "<h1>he-fsm simulate</h1>" in page(story)
    rehearsed = page(story, "he-fsm rehearse")
    assert "<h1>he-fsm rehearse</h1>" in rehearsed
    assert "<title>he-fsm rehearse: " in rehearsed
