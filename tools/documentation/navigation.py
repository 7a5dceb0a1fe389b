"""Which page stands in which part of the site: docs/index.md says it, and nothing else does."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Pages that only the site has: they are made when it is built. By the section that they end.
ONLY_ON_THE_SITE: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "Run my cluster": (
        ("all-commands", "reference", "every command with all its options, from the code"),
    ),
    "Design a cluster": (("playground", "how-to", "the simulator, in your browser"),),
    "Build on the library": (
        ("library-reference", "reference", "every public class and function, from the code"),
    ),
    "Write a back end": (
        ("back-end-reference", "reference", "ports, kinds and contract suites, from the code"),
    ),
}
# What people read who work on he_fsm itself; the start page only names these in its text.
LAST_SECTION = "Work on he_fsm"
LAST_PAGES = ("contributing", "changelog")

_SECTION = re.compile(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| \[[^\]]*\]\(([\w-]+)\.md\) \|.*$", re.MULTILINE)


def sections(index: str) -> dict[str, list[str]]:
    """Return the pages of each section of the start page that lists any, in its order."""
    found = {title: _ROW.findall(text) for title, text in _SECTION.findall(index)}
    return {title: pages for title, pages in found.items() if pages}


def with_site_pages(index: str) -> str:
    """Return the start page as the site has it: with the pages that are made when it is built."""
    for title, pages in ONLY_ON_THE_SITE.items():
        rows = "".join(f"| []({page}.md) | {kind} | {what} |\n" for page, kind, what in pages)
        section = next(each for each in _SECTION.finditer(index) if each[1] == title)
        *_, last = _ROW.finditer(section[0])
        at = section.start() + last.end() + 1
        index = index[:at] + rows + index[at:]
    trees = [*sections(index).items(), (LAST_SECTION, list(LAST_PAGES))]
    return index + "\n" + "\n".join(_tree(title, pages) for title, pages in trees)


def _tree(title: str, pages: list[str]) -> str:
    """Return a part of the site's navigation, as MyST writes it."""
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```", ""])
