"""
Files of keys and values, as oVirt's hosts have them: read them, and change one value of them.

A change touches the value alone. Comments, unknown keys, their order, spaces, line ends and bytes
that are no text stay as they are. What could not be read back as it was given is refused.

Source: ovirt-hosted-engine-setup 2.7 and ovirt-hosted-engine-ha 2.5, by what their readers accept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Optional

import attrs

# A value that the shell, which sources `hosted-engine.conf`, takes as it stands.
_PLAIN: Final = re.compile(r"[\w@%+=:,./\[\]-]*", re.ASCII)
_LINE: Final = re.compile(r"[^\n]*(?:\n|\Z)")
_SECTION: Final = re.compile(r"\[(?P<name>[^]]+)\]")
_OPTION: Final = re.compile(r"(?P<key>[^=:]+?)\s*[=:]\s*")
_COMMENTS: Final = ("#", ";")


@attrs.frozen
class Entry:
    """One value, as its reader has it, and where it stands in the text: from `begin` to `end`."""

    section: str
    key: str
    value: str
    begin: int
    end: int


@attrs.frozen(kw_only=True)
class Form:
    """
    One kind of file.

    `entries` finds the values of a text, in their order. `has_sections`: keys stand in sections.
    `folds`: keys are the same in capitals. `accepts` says whether a value can be written; `joint`
    stands between a new key and its value, and `indent` before each further line of a value.
    """

    name: str
    entries: Callable[[str], Iterator[Entry]]
    has_sections: bool = False
    folds: bool = False
    accepts: Callable[[str], bool] = lambda _: True
    joint: str = "="
    indent: Optional[str] = None

    def read(self, text: str) -> list[Entry]:
        """Return all values, in the order of the file."""
        return list(self.entries(text))

    def get(self, text: str, key: str, section: str = "") -> Optional[str]:
        """Return the value of a key; of several the last one counts. None: it is not there."""
        found = self._last(self.read(text), key, section)
        return None if found is None else found.value

    def set(self, text: str, key: str, value: str, section: str = "") -> str:
        """
        Return the text with another value of a key; a key that is not there is added.

        Raises:
            ValueError: the value can't stand in such a file.
        """
        if not self.accepts(value):
            msg = f"{value!r} can't be written as a value of {self.name}"
            raise ValueError(msg)
        found = self._last(self.read(text), key, section)
        changed = (
            self._added(text, key, value, section)
            if found is None
            else text[: found.begin] + self._folded(value) + text[found.end :]
        )
        if self.get(changed, key, section) != value:
            msg = f"{value!r} would be read as another value of {self.name}"
            raise ValueError(msg)
        return changed

    def _last(self, found: Sequence[Entry], key: str, section: str) -> Optional[Entry]:
        wanted = self._same(key)
        same = [each for each in found if (each.section, self._same(each.key)) == (section, wanted)]
        return same[-1] if same else None

    def _same(self, key: str) -> str:
        return key.lower() if self.folds else key

    def _folded(self, value: str) -> str:
        return value if self.indent is None else value.replace("\n", f"\n{self.indent}")

    def _added(self, text: str, key: str, value: str, section: str) -> str:
        """Add a key behind the last one of its section, or a section behind all others."""
        line = f"{key}{self.joint}{self._folded(value)}\n"
        if not self.has_sections:
            return f"{_ended(text)}{line}"
        ends = [each.end for each in self.read(text) if each.section == section]
        ends += [end for name, end in _headers(text) if name == section]
        if not ends:
            return f"{_ended(text)}[{section}]\n{line}"
        newline = text.find("\n", max(ends))
        place = len(text) if newline < 0 else newline + 1
        return f"{_ended(text[:place])}{line}{text[place:]}"


def _ended(text: str) -> str:
    """Return a text whose last line has an end."""
    return text if not text or text.endswith("\n") else f"{text}\n"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Return each line with the place where it begins, without its end."""
    for found in _LINE.finditer(text):
        if found[0]:
            yield found.start(), found[0].rstrip("\r\n")


def _stripped(text: str, begin: int, end: int) -> tuple[int, int]:
    """Return the part from *begin* to *end* without the white space around it."""
    part = text[begin:end]
    inner = part.strip()
    start = begin + len(part) - len(part.lstrip()) if inner else begin
    return start, start + len(inner)


def _shell_entries(text: str) -> Iterator[Entry]:
    """`key=value` lines; a line that begins with `#` is a comment."""
    for place, line in _lines(text):
        key, equals, _ = line.partition("=")
        if not equals or not key.strip() or line.lstrip().startswith("#"):
            continue
        begin, end = _stripped(text, place + len(key) + 1, place + len(line))
        yield Entry("", key.strip(), text[begin:end], begin, end)


def _vm_entries(text: str) -> Iterator[Entry]:
    """`key=value` lines in which white space means nothing, and `#` begins a comment anywhere."""
    for place, line in _lines(text):
        body = line.partition("#")[0]
        key, equals, _ = body.partition("=")
        if not equals or not key.strip():
            continue
        begin, end = _stripped(text, place + len(key) + 1, place + len(body))
        yield Entry("", "".join(key.split()), "".join(text[begin:end].split()), begin, end)


def _headers(text: str) -> Iterator[tuple[str, int]]:
    """Return each section of an INI file, and where its header ends."""
    for place, line in _lines(text):
        found = _SECTION.match(line)
        if found is not None:
            yield found["name"], place + found.end()


def _ini_entries(text: str) -> Iterator[Entry]:
    """Options as Python's `configparser` reads them, with values of several lines."""
    section, open_entry = "", None
    for place, line in _lines(text):
        is_comment = line.strip().startswith(_COMMENTS)
        if open_entry is not None and line[:1].isspace() and line.strip() and not is_comment:
            begin, end = _stripped(text, place, place + len(line))
            open_entry = attrs.evolve(
                open_entry, value=f"{open_entry.value}\n{text[begin:end]}", end=end
            )
            continue
        if is_comment or (not line.strip() and open_entry is not None):
            continue
        if open_entry is not None:
            yield open_entry
            open_entry = None
        header = _SECTION.match(line)
        option = _OPTION.match(line)
        if header is not None:
            section = header["name"]
        elif option is not None:
            begin, end = _stripped(text, place + option.end(), place + len(line))
            open_entry = Entry(section, option["key"].strip(), text[begin:end], begin, end)
    if open_entry is not None:
        yield open_entry


def _is_one_line(value: str) -> bool:
    return "\n" not in value and "\r" not in value


def _is_plain(value: str) -> bool:
    return _PLAIN.fullmatch(value) is not None


# `hosted-engine.conf` and `ha.conf`. The first one is sourced by a shell.
SHELL: Final = Form(name="hosted-engine.conf", entries=_shell_entries, accepts=_is_plain)
VM: Final = Form(name="vm.conf", entries=_vm_entries, accepts=_is_one_line)
# `broker.conf` and `agent.conf`.
INI: Final = Form(
    name="broker.conf",
    entries=_ini_entries,
    has_sections=True,
    folds=True,
    accepts=_is_one_line,
    joint=" = ",
)
# `answers.conf`: its keys are told apart by capitals, and its values may have several lines.
ANSWERS: Final = Form(name="answers.conf", entries=_ini_entries, has_sections=True, indent="\t")
