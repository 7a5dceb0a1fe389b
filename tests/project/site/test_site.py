"""The site as it is built: strict, whole, searchable, and nothing of it comes from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from he_fsm import __all__ as public_names
from tests.cli.consent.test_asking import ALL

pytest.importorskip("furo", reason="the extra docs is not installed: pip install -e '.[docs]'")

ROOT = Path(__file__).parents[3]
PAGES = ("index", "three-in-the-morning", "contributing", "changelog", "playground")
# What makes a browser load something, by element and attribute.
LOADING = {
    *(("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("embed", "src")),
    *(("video", "src"), ("audio", "src"), ("object", "data"), ("form", "action")),
    *(("img", "srcset"), ("use", "href"), ("image", "href"), ("base", "href")),
}
ELSEWHERE = re.compile(r"^\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
STYLED = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site without the playground's files, as `make docs PLAYGROUND=no` does."""
    output = tmp_path_factory.mktemp("built") / "site"
    words = [str(ROOT / "tools" / "build-docs"), "--output", str(output), "--without-playground"]
    words += ["--work", str(output.parent / "work")]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{output}/index.html\n"
    return output


class Loaded(HTMLParser):
    """Collects what a page makes a browser load, and the links to follow."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") not in ("canonical", "author", "license"):
            self.loaded.append(given.get("href") or "")
        self.loaded += [value or "" for name, value in attrs if (tag, name) in LOADING]
        self.loaded += [a or b for a, b in STYLED.findall(given.get("style") or "")]


def loaded_by(page: Path) -> list[str]:
    found = Loaded()
    found.feed(page.read_text(encoding="utf-8"))
    return found.loaded


def test_every_page_is_there(site: Path) -> None:
    names = {path.stem for path in (ROOT / "docs").glob("*.md")} | set(PAGES)
    assert {name for name in names if not (site / f"{name}.html").is_file()} == set()


def test_no_page_loads_anything_from_another_site(site: Path) -> None:
    found = {
        f"{path.relative_to(site)}: {address}"
        for path in site.rglob("*.html")
        for address in loaded_by(path)
        if ELSEWHERE.match(address)
    }
    assert found == set()


def test_no_style_loads_anything_from_another_site(site: Path) -> None:
    found = {
        address
        for path in site.rglob("*.css")
        for pair in STYLED.findall(path.read_text(encoding="utf-8"))
        for address in pair
        if ELSEWHERE.match(address)
    }
    assert found == set()


def test_what_a_page_loads_is_there(site: Path) -> None:
    for path in (site / "index.html", site / "playground.html", site / "state-machine.html"):
        names = [address.partition("?")[0] for address in loaded_by(path)]
        local = [name for name in names if name and not name.startswith(("#", "data:"))]
        assert local
        assert [name for name in local if not (path.parent / name).exists()] == []


def test_words_are_found(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    for word in ("whiteboard", "lockspac", "gateway"):
        assert f'"{word}"' in index


def test_the_reader_may_choose_the_dark(site: Path) -> None:
    page = (site / "index.html").read_text(encoding="utf-8")
    assert 'class="theme-toggle' in page
    styles = "".join(path.read_text("utf-8") for path in site.rglob("*.css"))
    assert "prefers-color-scheme:dark" in styles.replace(" ", "")


def test_a_screen_reader_knows_the_level_of_each_caption(site: Path) -> None:
    page = (site / "index.html").read_text(encoding="utf-8")
    captions = re.findall(r'<p class="caption"[^>]*>', page)
    assert len(captions) == 6
    assert set(captions) == {'<p class="caption" role="heading" aria-level="2">'}


def test_every_command_is_in_the_reference(site: Path) -> None:
    page = (site / "all-commands.html").read_text(encoding="utf-8")
    titles = {re.sub(r"<[^>]+>|¶", "", text) for text in re.findall(r"<h\d>(.*?)</h\d>", page)}
    below = {f"he-fsm {name}".split()[-1] for name in ALL}
    assert below - titles == set()


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    page = (site / "library-reference.html").read_text(encoding="utf-8")
    assert {name for name in public_names if f'id="he_fsm.{name}"' not in page} == set()


def test_a_link_that_leads_nowhere_ends_the_build(tmp_path: Path) -> None:
    links = "[a](no-such-page.md) [b](index.md#no-such-heading) ![c](pictures/no-such.png)"
    (tmp_path / "index.md").write_text(f"# Start\n\n{links}\n")
    code = (
        "import sys; from pathlib import Path; from tools.documentation.site import run_sphinx; "
        "here = Path(sys.argv[1]); run_sphinx(here, here / 'site', here / 'doctrees')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "SiteError: the pages are not in order" in done.stderr
    for name in ("no-such-page", "no-such-heading", "no-such.png"):
        assert name in done.stderr
