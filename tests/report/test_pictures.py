from __future__ import annotations

import shutil
import struct
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from he_fsm.errors import HeFsmError, MissingExtraError
from he_fsm.report.page_lanes import lanes
from he_fsm.report.pictures import on_paper, timelines, write_pictures
from he_fsm.simulate import Outcome
from tests.report.browser import CHROMIUM
from tests.report.test_page import NASTY, STORY, outcomes_of

pytest.importorskip("plotly")
kaleido: Any = pytest.importorskip("kaleido")


@pytest.fixture(scope="module")
def story() -> list[Outcome]:
    return outcomes_of(STORY)


def test_each_scenario_is_a_picture_with_title_and_legend(story: list[Outcome]) -> None:
    pictures = list(timelines(story))
    assert [picture.name for picture in pictures] == ["story", "quiet"]
    drawing = on_paper(pictures[0])
    assert drawing.layout.title.text == "<b>story</b>"
    assert drawing.layout.paper_bgcolor == "#ffffff"
    named = [trace.name for trace in drawing.data if trace.showlegend]
    assert len(named) == len(set(named))
    for name in ("EngineUp", "paused", "holds the lease", "score", "fault", "expectation failed"):
        assert name in named


def test_a_picture_has_what_the_page_has(story: list[Outcome]) -> None:
    (picture, _) = timelines(story)
    bars = [trace for trace in on_paper(picture).data if trace.type == "bar"]
    wanted = sum(len((*lane.bars, *lane.vm, *lane.lease)) for lane in lanes(story[0])[0])
    assert sum(len(bar.x) for bar in bars) == wanted


def test_the_pages_own_figure_stays_as_it_was(story: list[Outcome]) -> None:
    (picture, _) = timelines(story)
    before = picture.drawing.to_json()
    on_paper(picture)
    assert picture.drawing.to_json() == before


def test_file_names_are_plain_and_differ() -> None:
    scenarios = ", ".join(
        f"{{name: '{name}', hosts: 1, until: 1m}}" for name in ("a/b", "a b", "../A-B", "///")
    )
    names = [picture.name for picture in timelines(outcomes_of(f"scenarios: [{scenarios}]"))]
    assert names == ["a-b", "a-b-2", "A-B-3", "scenario"]


@pytest.mark.parametrize(
    ("module", "says"),
    [("kaleido", "he-fsm[pictures]"), ("plotly", "he-fsm[pictures]")],
)
def test_what_is_not_installed_is_said(
    story: list[Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    says: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match="pip install") as raised:
        write_pictures(timelines(story), {"png": tmp_path / "new"})
    assert says in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_without_a_browser_it_says_what_to_install(
    story: list[Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_found(*_: object, **__: object) -> None:
        raise kaleido.errors.ChromeNotFoundError

    monkeypatch.setattr(kaleido, "write_fig_from_object_sync", not_found)
    with pytest.raises(MissingExtraError, match="package chromium"):
        write_pictures(timelines(story), {"png": tmp_path})


def test_a_browser_that_fails_is_one_sentence(
    story: list[Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise RuntimeError(("It seemed to close.", "More of it.")) from None

    monkeypatch.setattr(kaleido, "write_fig_from_object_sync", failing)
    with pytest.raises(HeFsmError) as raised:
        write_pictures(timelines(story), {"png": tmp_path})
    assert str(raised.value) == "the browser can't draw the pictures: It seemed to close."


def test_a_folder_that_can_not_be_made_is_one_sentence(
    story: list[Outcome], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "folder"
    with pytest.raises(HeFsmError) as raised:
        write_pictures(timelines(story), {"svg": folder})
    assert str(raised.value) == f"can't write {folder}: Not a directory"


def test_without_figures_nothing_is_written(tmp_path: Path) -> None:
    write_pictures([], {"svg": tmp_path / "new"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.once
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.skipif(shutil.which("chromium") is None, reason="kaleido does not find a browser")
def test_a_browser_draws_pictures_for_documents(tmp_path: Path) -> None:
    (outcome,) = outcomes_of(NASTY)
    write_pictures(timelines([outcome]), {"png": tmp_path / "new" / "png", "svg": tmp_path})
    (png,) = (tmp_path / "new" / "png").iterdir()
    assert png.read_bytes().startswith(b"\x89PNG")
    assert struct.unpack(">I", png.read_bytes()[16:20]) == (2000,)
    (svg,) = tmp_path.glob("*.svg")
    drawn = ET.parse(svg).getroot()
    texts = ["".join(each.itertext()) for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert "<script>alert(1)</script>" in texts
    assert not list(drawn.iter("{http://www.w3.org/2000/svg}script"))


@pytest.mark.once
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_page_that_is_asked_too_soon_is_asked_again(
    story: list[Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, draw = [], kaleido.write_fig_from_object_sync

    def too_soon(*orders: Any, **options: Any) -> None:
        asked.append(orders)
        if len(asked) == 1:
            msg = "ReferenceError: kaleido_scopes is not defined"
            raise RuntimeError(msg)
        draw(*orders, **options)

    monkeypatch.setattr(kaleido, "write_fig_from_object_sync", too_soon)
    (picture, _) = timelines(story)
    write_pictures([picture], {"svg": tmp_path, "png": None})
    assert len(asked) == 2
    assert (tmp_path / "story.svg").stat().st_size
