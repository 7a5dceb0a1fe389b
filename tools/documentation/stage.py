"""
The sources of the site: the pages of docs/ with their links as the site needs them.

The pages are made to be read as files of the repository. On the site, a link that is only a file's
name shows the page's title, a link to a file beside docs/ leads to a copy of it, and a Mermaid
diagram is the picture of it, because a picture needs no script.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tools.documentation.navigation import with_site_pages

ROOT = Path(__file__).resolve().parents[2]
_HERE = Path(__file__).resolve().parent
# Pages that stand beside docs/, by their names on the site.
BESIDE = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
# The picture that stands for a page's Mermaid diagram.
_PICTURES = {
    "state-machine.md": "pictures/state-diagram.svg",
    "explanation.md": "pictures/states.svg",
}
_MERMAID = re.compile(r"^```mermaid\n.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^()\s#]+)(#[^()\s]*)?\)")
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def stage(target: Path, root: Path = ROOT) -> None:
    """Write the sources of the site into a folder, which is made anew."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(root / "docs", target)
    for name, as_name in BESIDE.items():
        shutil.copyfile(root / name, target / as_name)
    for page in sorted(target.glob("*.md")):
        source = root / _source_of(page.name)
        page.write_text(for_site(page.read_text("utf-8"), source, target, root), encoding="utf-8")
    for page in sorted((_HERE / "pages").glob("*.md")):
        shutil.copyfile(page, target / page.name)
    index = target / "index.md"
    index.write_text(with_site_pages(index.read_text("utf-8")), encoding="utf-8")


def _source_of(name: str) -> str:
    """Return where a page of the site stands in the repository."""
    return next((source for source, as_name in BESIDE.items() if as_name == name), f"docs/{name}")


def for_site(text: str, source: Path, target: Path, root: Path = ROOT) -> str:
    """
    Return a page's text as the site has it.

    Args:
        source: where the page stands in the repository; links are relative to it.
        target: the folder of the site's sources, into which linked files are copied.
    """
    picture = _PICTURES.get(source.name)
    if picture is not None:
        text = _MERMAID.sub(f"![The states and the edges between them]({picture})", text)
    parts = _FENCE.split(text)
    # Every second part is a block of code, in which nothing is a link.
    parts[::2] = [
        _LINK.sub(lambda link: _linked(link, source, target, root), part) for part in parts[::2]
    ]
    return "".join(parts)


def _linked(link: re.Match[str], source: Path, target: Path, root: Path) -> str:
    """Return a link as the site has it."""
    label, to, anchor = link[1], link[2], link[3] or ""
    if to.startswith(("http:", "https:")):
        return link[0]
    path = (source.parent / to).resolve()
    if not path.is_relative_to(root) or not path.exists():
        # The strict build names it, with its page.
        return link[0]
    name = path.relative_to(root).as_posix()
    if path.is_dir():
        return f"`{name}`"
    if name in BESIDE:
        return f"[{label}]({BESIDE[name]}{anchor})"
    if path.is_relative_to(root / "docs"):
        on_site = path.relative_to(root / "docs").as_posix()
        return f"[{'' if label == path.name else label}]({on_site}{anchor})"
    copied = target / "files" / name
    copied.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, copied)
    return f"[{label}](files/{name})"
