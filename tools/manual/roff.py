"""A page in the language of man(7), from text with `code` between backticks."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence

import attrs

# Between backticks: what is typed as it stands.
_CODE = re.compile(r"`([^`]+)`")
_LINE_MAX = 78
# What `[text](target)` of Markdown shows.
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")


def escaped(text: str) -> str:
    """Return text in which nothing means anything to roff; a hyphen is the one that is typed."""
    return text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")


def inline(text: str) -> str:
    """Return a running text: what is between backticks is bold, links are their text."""
    plain = _LINK.sub(r"\1", " ".join(text.split()))
    parts = []
    for number, part in enumerate(_CODE.split(plain)):
        # Every second part was between backticks.
        parts.append(f"\\fB{escaped(part)}\\fR" if number % 2 else escaped(part))
    line = "".join(parts)
    return f"\\&{line}" if line.startswith(".") else line


def filled(text: str) -> str:
    """Return a running text as `inline`, in lines that are good to read in the source, too."""
    lines = textwrap.wrap(inline(text), _LINE_MAX, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"\\&{line}" if line.startswith(".") else line for line in lines)


@attrs.frozen(kw_only=True)
class Page:
    """One page: `name` and `section` name its file, `blocks` are its text in man(7)."""

    name: str
    section: int
    about: str
    blocks: tuple[str, ...]

    @property
    def file(self) -> str:
        """Return the name of its file."""
        return f"{self.name}.{self.section}"

    def text(self, version: str, date: str) -> str:
        """Return the whole page; *date* is that of the release, as YYYY-MM-DD."""
        title = escaped(self.name.upper())
        about = inline(self.about)
        lines = [
            f'.TH "{title}" "{self.section}" "{date}" "he\\-fsm {version}" "he\\-fsm"',
            # No hyphens at the ends of lines, and no wide gaps: words here are long.
            *(".nh", ".ad l"),
            *(".SH NAME", f"{escaped(self.name)} \\- {about}"),
            *self.blocks,
        ]
        return "\n".join(lines) + "\n"


def section(title: str, *blocks: str) -> str:
    """Return a section with its blocks; empty: it has none."""
    found = [block for block in blocks if block]
    return "\n".join([f'.SH "{escaped(title.upper())}"', *found]) if found else ""


def paragraphs(text: str) -> str:
    """Return a docstring's paragraphs; one that begins with a backspace keeps its lines."""
    made = []
    for part in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if part.startswith("\b"):
            kept = part.lstrip("\b\n").split("\n")
            made += [".PP", ".nf", *(_kept(line) for line in kept if line.strip()), ".fi"]
        elif part.strip():
            made += [".PP", filled(part)]
    # A section begins with its first paragraph.
    return "\n".join(made[1:] if made[:1] == [".PP"] else made)


def _kept(line: str) -> str:
    return f"\\&{escaped(line.rstrip())}"


def listed(items: Iterable[tuple[str, str]]) -> str:
    """Return a list of terms, which are in man(7) already, and what each means."""
    return "\n".join(f".TP\n{term}\n{filled(meaning)}" for term, meaning in items)


def example(*lines: str) -> str:
    """Return lines as somebody types them."""
    return "\n".join([".RS 4", ".nf", *(_kept(line) for line in lines), ".fi", ".RE"])


def see_also(pages: Sequence[tuple[str, int]]) -> str:
    """Return the section that names other pages."""
    names = [f"\\fB{escaped(name)}\\fR({number})" for name, number in pages]
    return section("See also", ",\n".join(names)) if names else ""
