from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import attrs
import pytest

from he_fsm.campaign.page import WORST, campaign_page, write_campaign_page
from he_fsm.campaign.results import CampaignResult, Estimate, Variation
from he_fsm.errors import MissingExtraError
from tests.campaign.results import CAUSES, campaign_result
from tests.report.browser import CHROMIUM, on_a_phone
from tests.report.test_page import figures, parsed

pytest.importorskip("plotly")

NASTY = "</script><b>policy.migration_threshold=400</b>"


@pytest.fixture(scope="module")
def result() -> CampaignResult:
    return campaign_result("threshold=400", "threshold=800", "threshold=1200", about="Which one?")


def scenarios_of(result: CampaignResult) -> dict[tuple[str, int], str]:
    return {run.key: f"scenarios: [{{name: run-{run.seed}}}]\n" for run in result.worst(WORST)}


def test_the_page_answers_in_a_sentence(result: CampaignResult) -> None:
    shown = parsed(campaign_page(result, {})).text
    assert "he-fsm campaign" in shown
    assert "3 variations, 60 runs of 365 d: 60 cluster-years" in shown
    assert "Which one?" in shown
    assert "% available with threshold=400: down " in shown
    assert "Of the 2 others 1 is certainly worse (95%); the rest may be as good." in shown


def test_the_page_has_every_variation_with_interval_and_difference(result: CampaignResult) -> None:
    shown = parsed(campaign_page(result, {})).text
    for each in result.variations:
        assert each.variation.name in shown
        assert each.availability.low is not None
        assert f"{each.availability.low:.4%}" in shown
    assert "certainly worse, p = 0.01" in shown
    assert "may be chance, p = 0.02" in shown


def test_availability_is_drawn_with_its_interval(result: CampaignResult) -> None:
    (availability, _, _) = figures(campaign_page(result, {}))
    (trace,) = availability["data"]
    assert trace["x"] == [each.availability.value for each in result.variations]
    ends = [each.availability.high for each in result.variations]
    sums = [x + plus for x, plus in zip(trace["x"], trace["error_x"]["array"])]  # type: ignore[call-overload,index]
    assert sums == pytest.approx(ends)


def test_the_histogram_has_every_outage_of_those_set_side_by_side(result: CampaignResult) -> None:
    (_, outages, _) = figures(campaign_page(result, {}))
    first, last = result.variations[0], result.variations[-1]
    for trace, each in zip(outages["data"], (first, last)):
        assert each.variation.name in str(trace["name"])
        found: list[float] = trace["y"]  # type: ignore[assignment]
        assert sum(found) * each.years == pytest.approx(each.outage_lengths.count)


def test_names_are_short_and_whole_where_they_can_be_told_apart(result: CampaignResult) -> None:
    names = [
        {"policy.migration_threshold": "800", "policy.bad_health_s": "60s", "world.loop": "5s"},
        {"world.loop": "5s", "other.loop": "6s"},
    ]
    variations = tuple(
        attrs.evolve(each, variation=Variation(name=f"<{index}>", settings=settings))
        for index, (each, settings) in enumerate(zip(result.variations, names))
    )
    from he_fsm.campaign.page_figures import figures as drawings

    (availability, *_) = drawings(attrs.evolve(result, variations=variations))
    texts = [note.text for note in availability.drawing.layout.annotations]
    assert texts[0] == "<b>migration_threshold=800, bad_health_s=60s,<br>loop=5s</b>"
    assert texts[1].startswith("best: 99.")
    assert texts[2] == "<b>&lt;1&gt;</b>"


def test_in_the_table_a_name_breaks_between_words_alone(result: CampaignResult) -> None:
    name = "policy.migration_threshold=800, world.loop=2.5s"
    variation = Variation(name=name, settings={})
    shown = tuple(attrs.evolve(each, variation=variation) for each in result.variations)
    page = campaign_page(attrs.evolve(result, variations=shown), {})
    assert "policy.<wbr>migration_<wbr>threshold=800,<br>world.<wbr>loop=2.5s" in page


def test_the_causes_add_up_to_the_downtime(result: CampaignResult) -> None:
    (_, _, causes) = figures(campaign_page(result, {}))
    assert {str(trace["name"]).replace("&#x27;", "'") for trace in causes["data"]} == set(CAUSES)
    for index, each in enumerate(result.variations):
        minutes = sum(trace["x"][index] for trace in causes["data"])  # type: ignore[index]
        assert minutes * 60 == pytest.approx(each.downtime_s_a_year.value)


def test_the_worst_runs_can_be_saved_and_replayed(result: CampaignResult) -> None:
    scenarios = scenarios_of(result)
    elements = parsed(campaign_page(result, scenarios)).elements
    links = [found for tag, found in elements if tag == "a"]
    assert len(links) == WORST
    for run, link in zip(result.worst(WORST), links):
        assert link["download"] == f"{result.scenario_name(run)}.yaml"
        head, _, data = str(link["href"]).partition(",")
        assert head == "data:application/yaml;base64"
        assert base64.b64decode(data).decode() == scenarios[run.key]


def test_the_page_loads_nothing(result: CampaignResult) -> None:
    for tag, found in parsed(campaign_page(result, scenarios_of(result))).elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base")
        assert "src" not in found
        assert str(found.get("href", "data:application/yaml;")).startswith("data:application/yaml;")


def test_what_a_file_says_is_text_and_never_markup() -> None:
    result = campaign_result(NASTY, "plain", about=NASTY, broken=("two-engines",))
    text = campaign_page(attrs.evolve(result, name=NASTY), scenarios_of(result))
    elements = parsed(text)
    assert NASTY in elements.text
    assert "</script><b>" not in text
    assert "Broken in some run: two-engines" in elements.text


def test_a_campaign_that_was_stopped_says_so() -> None:
    result = attrs.evolve(campaign_result("as written", runs=5), runs=9)
    shown = parsed(campaign_page(result, {})).text
    assert "1 variation, 5 runs of 365 d: 5 cluster-years; stopped before its end" in shown
    assert "available: down" in shown


def test_one_that_has_not_begun_is_a_page_too() -> None:
    text = campaign_page(attrs.evolve(campaign_result(), variations=()), {})
    assert "Nothing has run yet." in parsed(text).text
    assert figures(text) == []


def test_a_cluster_that_was_never_down_is_a_page_too() -> None:
    (always,) = campaign_result("as written").variations
    runs = tuple(attrs.evolve(run, outages=()) for run in always.runs)
    always = attrs.evolve(
        always,
        runs=runs,
        availability=Estimate(value=1.0),
        downtime_s_a_year=Estimate(value=0.0),
        outage_lengths=attrs.evolve(always.outage_lengths, count=0),
    )
    text = campaign_page(attrs.evolve(campaign_result(), variations=(always,)), {})
    assert "100.00% available: down 0 s a year." in parsed(text).text
    assert len(figures(text)) == 1


def test_of_very_many_variations_the_best_are_drawn() -> None:
    result = campaign_result(*(f"threshold={number}" for number in range(50)), runs=2)
    text = campaign_page(result, {})
    assert len(figures(text)[0]["data"][0]["x"]) == 40  # type: ignore[arg-type]
    assert "The 10 worst variations are in the table alone." in parsed(text).text


def test_the_same_result_gives_the_same_bytes(result: CampaignResult, tmp_path: Path) -> None:
    again = CampaignResult.from_json(json.loads(json.dumps(result.to_json())))
    for name, each in (("a.html", result), ("b.html", again)):
        write_campaign_page(each, tmp_path / name, scenarios_of(each))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_without_plotly_the_error_says_how_to_install_it(
    result: CampaignResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(MissingExtraError, match="pip install"):
        campaign_page(result, {})


def test_jupyter_shows_a_campaign_without_any_library(
    result: CampaignResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    elements = parsed(result._repr_html_())
    for tag, found in elements.elements:
        assert tag in ("div", "span", "b", "table", "thead", "tbody", "tr", "th", "td")
        assert set(found) <= {"style"}
    for each in result.variations:
        assert each.variation.name in elements.text
    # Text begins where its head does, and numbers end there, whatever Jupyter's theme has.
    looks = [found["style"] for tag, found in elements.elements if tag in ("th", "td")]
    rows = 1 + len(result.variations)
    assert looks == looks[: len(looks) // rows] * rows
    assert {"text-align:left", "text-align:right"} == set(looks)
    assert "threshold=400 best" in elements.text


def test_jupyter_shows_the_best_of_many_and_what_is_broken() -> None:
    names = [f"<i>{number}</i>" for number in range(40)]
    elements = parsed(campaign_result(*names, runs=2, broken=("lease",))._repr_html_())
    assert "i" not in {tag for tag, _ in elements.elements}
    assert "10 worse ones are not shown." in elements.text
    assert "broken: lease" in elements.text


@pytest.mark.once
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_draws_the_figures_of_a_phone_within_its_width(
    result: CampaignResult, tmp_path: Path
) -> None:
    write_campaign_page(result, tmp_path / "page.html", scenarios_of(result))
    width, points, _ = on_a_phone(tmp_path / "page.html")
    assert width == 400
    assert points >= len(result.variations) * (1 + len(CAUSES))
