"""What the site is built from: every page has its place, and links lead where the page's did."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tools.documentation.navigation import ONLY_ON_THE_SITE, sections, with_site_pages
from tools.documentation.stage import for_site, stage

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
INDEX = (DOCS / "index.md").read_text(encoding="utf-8")


def test_every_page_is_in_one_section_of_the_start_page() -> None:
    listed = Counter(page for pages in sections(INDEX).values() for page in pages)
    assert set(listed.values()) == {1}
    assert set(listed) | {"index"} == {path.stem for path in DOCS.glob("*.md")}


def test_the_sections_are_what_readers_want() -> None:
    assert list(sections(INDEX)) == [
        "Run my cluster",
        "Understand a failover",
        "Design a cluster",
        "Build on the library",
        "Write a back end",
    ]


def test_pages_of_the_site_alone_end_their_section() -> None:
    whole = sections(with_site_pages(INDEX))
    for title, pages in ONLY_ON_THE_SITE.items():
        assert whole[title] == [*sections(INDEX)[title], *(page for page, _, _ in pages)]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Return the path of a page in a repository of its own."""
    (tmp_path / "docs" / "pictures").mkdir(parents=True)
    (tmp_path / "examples" / "folder").mkdir(parents=True)
    (tmp_path / "examples" / "a.yaml").write_text("a: 1\n")
    for name in ("docs/other.md", "docs/pictures/a.png", "CONTRIBUTING.md", "CHANGELOG.md"):
        (tmp_path / name).write_text("# Title\n")
    return tmp_path / "docs" / "page.md"


@pytest.mark.parametrize(
    ("written", "on_the_site"),
    [
        ("[other.md](other.md)", "[](other.md)"),
        ("[other.md](other.md#title)", "[](other.md#title)"),
        ("[the other](other.md)", "[the other](other.md)"),
        ("[work](../CONTRIBUTING.md#title)", "[work](contributing.md#title)"),
        ("[a file](../examples/a.yaml)", "[a file](files/examples/a.yaml)"),
        ("[a folder](../examples/folder)", "`examples/folder`"),
        ("[away](https://www.ovirt.org/)", "[away](https://www.ovirt.org/)"),
        ("[here](#title)", "[here](#title)"),
        ("![a picture](pictures/a.png)", "![a picture](pictures/a.png)"),
        ("[gone](gone.md)", "[gone](gone.md)"),
        ("```text\n[other.md](other.md)\n```", "```text\n[other.md](other.md)\n```"),
    ],
)
def test_links_are_those_of_the_site(
    page: Path, tmp_path: Path, written: str, on_the_site: str
) -> None:
    target = tmp_path / "site"
    text = for_site(f"{written}\n\n{written}\n", page, target, tmp_path)
    assert text == f"{on_the_site}\n\n{on_the_site}\n"
    assert (target / "files/examples/a.yaml").is_file() is ("files/" in on_the_site)


def test_links_of_a_page_beside_the_folder_lead_into_it(page: Path, tmp_path: Path) -> None:
    beside = page.parents[1] / "CONTRIBUTING.md"
    text = for_site("[other](docs/other.md#title)", beside, tmp_path / "site", tmp_path)
    assert text == "[other](other.md#title)"


def test_a_diagram_is_its_picture(tmp_path: Path) -> None:
    stage(tmp_path / "sources")
    for name, picture in (("state-machine", "state-diagram"), ("explanation", "states")):
        text = (tmp_path / "sources" / f"{name}.md").read_text(encoding="utf-8")
        assert "```mermaid" not in text
        assert f"](pictures/{picture}.svg)" in text
        assert (tmp_path / "sources" / "pictures" / f"{picture}.svg").is_file()
