from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser

import pytest

from he_fsm.report.html import as_html
from he_fsm.scenario import parse_scenarios
from he_fsm.simulate import Outcome, simulate
from tests.report.test_page import NASTY, STORY


def outcome_of(text: str) -> Outcome:
    return simulate(parse_scenarios(text, "story.yaml")[0])


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_jupyter_shows_verdict_totals_failures_and_lanes() -> None:
    outcome = outcome_of(STORY)
    shown = Elements(outcome._repr_html_())
    assert shown.open == []
    starts = f"starts {outcome.totals['starts']}"
    for text in ("story", "failed", "Host 1 freezes;", starts, "Engine", "host 3", "0:30:00"):
        assert text in shown.text
    (failure, *_) = outcome.failures
    assert failure.expected in shown.text
    hints = "\n".join(str(found.get("title", "")) for _, found in shown.elements)
    for event in outcome.events:
        if event.kind in ("state", "fault"):
            assert event.text() in hints


def test_nothing_is_loaded_or_run_and_no_library_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    for tag, found in Elements(outcome_of(STORY)._repr_html_()).elements:
        assert tag in ("div", "span", "b")
        assert set(found) <= {"style", "title"}
        assert "url(" not in str(found.get("style"))


def test_what_a_file_says_is_text_and_never_markup() -> None:
    shown = Elements(outcome_of(NASTY)._repr_html_())
    assert {tag for tag, _ in shown.elements} == {"div", "span", "b"}
    assert "<script>alert(1)</script>" in shown.text
    assert "<img src=x>.example.com" in shown.text


@pytest.mark.once
def test_months_of_faults_stay_light() -> None:
    outcome = outcome_of(
        "scenarios: [{name: months, hosts: 3, engine: {running_on: 1}, until: 60d,"
        " timeline: [{at: 1h, engine: kill, every: 12h}]}]"
    )
    assert outcome.totals["starts"] > 100
    assert len(outcome._repr_html_()) < 250_000


@pytest.mark.parametrize(
    ("home", "name"),
    [("he_fsm.report.outcome", "Outcome"), ("he_fsm.campaign.results", "CampaignResult")],
)
def test_a_result_shows_itself_wherever_it_comes_from(home: str, name: str) -> None:
    program = f"""
from he_fsm.report.html import as_html
from {home} import {name}
assert as_html.dispatch({name}) is not as_html.dispatch(object)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_nobody_draws_jupyter_shows_as_text() -> None:
    with pytest.raises(NotImplementedError, match="nobody draws a int"):
        as_html(1)
