"""
Keeping secrets out of what leaves this host.

Secrets are looked for where they may stand: under keys with such names in any configuration, in the
files that such keys name, in addresses (`https://user:password@host`), in words of commands
(`--password=...`), in definitions of VMs. What was found is then taken out of everything, wherever
it stands; and what looks like a secret, whatever its value is.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote
from xml.sax.saxutils import escape

import yaml

MASK: Final = "(left out)"
_NAMES: Final = (
    r"pass(?:word|wd|phrase|code)?|pwd|secret|token|ticket|credentials?|psk"
    r"|(?:private|secret|api|auth|access|ssh)[-_]?key"
)
# A key of a configuration, of JSON, of an XML attribute or a word of a command, and its value: in
# quotation marks, or up to the end of the line. oVirt's answers have a type before the value.
_WORD: Final = r"[\w./-]*"
_PAIR: Final = re.compile(
    rf"(?<![\w./-])(?P<key>(?i:{_WORD}(?:{_NAMES}){_WORD}))"
    r"(?P<gap>[\"']?[ \t]*[:=][ \t]*|[\"']?,?[ \t]+)"
    r"(?P<value>\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^\n]*)"
)
_ADDRESS: Final = re.compile(r"(?P<begin>\w+://[^\s/@:]*:)(?P<value>[^\s@]+)(?=@)")
_HEADER: Final = re.compile(r"(?i)(?P<begin>authorization\s*:\s*\w+\s+)(?P<value>[^\s\"']+)")
_PRIVATE: Final = re.compile(
    r"-----BEGIN (?P<kind>[A-Z ]*PRIVATE KEY)-----.*?(?:-----END (?P=kind)-----|\Z)", re.DOTALL
)
_TYPE: Final = re.compile(r"^(?:str|int|bool|none|float):")
# Keys with such ends hold no secret themselves: a path, a flag, a time.
_NO_SECRET: Final = re.compile(
    r"(?i)(?:file|path|dir|valid|valid_s|length|expiry|expires|type|kind|id|uuid|needed|set)$"
)
_FILE: Final = re.compile(r"(?i)(?:file|path)$")
_PLACEHOLDERS: Final = frozenset(
    ("", "none", "null", "true", "false", "yes", "no", "[]", "{}", "~", MASK.lower())
)
# What is shorter would be found in everything; it is taken out where it stands under its key.
_SHORTEST: Final = 4
_FILE_BYTES_MAX: Final = 65_536


def secrets_in(text: str, folder: Path) -> Iterator[str]:
    """
    Return the secrets that a configuration holds, or that stand in files that it names.

    Args:
        text: YAML, or `key=value` lines as oVirt's files have them, or XML.
        folder: what relative paths are below.
    """
    for found in _secrets_in(text, folder):
        yield found
        if "/" in found:
            # The path of a file that holds the secret, under a key that does not say so.
            yield from _in_file(folder / found)


def _secrets_in(text: str, folder: Path) -> Iterator[str]:
    for match in _PAIR.finditer(text):
        key, value = match["key"], match["value"]
        if _FILE.search(key):
            yield from _in_file(folder / _bare(value))
        elif not _NO_SECRET.search(key) and not _is_prose(match):
            yield from _values(value, is_option=key.startswith("-"))
    with contextlib.suppress(yaml.YAMLError, RecursionError, ValueError):
        yield from _in_tree(yaml.safe_load(text))
    for match in (*_ADDRESS.finditer(text), *_HEADER.finditer(text)):
        yield match["value"]
        yield unquote(match["value"])


def _is_prose(match: re.Match[str]) -> bool:
    """Return whether a name is a word of a sentence, as in "the password is void"."""
    return not match["gap"].strip(" \t\"',") and not match["key"].startswith("-")


def _in_tree(plain: Any) -> Iterator[str]:
    """Return the secrets in a document: also those on several lines, and words of commands."""
    if isinstance(plain, dict):
        for key, value in plain.items():
            is_secret = _is_secret(str(key))
            yield from map(str, _leaves(value)) if is_secret else _in_tree(value)
    elif isinstance(plain, list):
        for before, value in zip([None, *plain], plain):
            if _is_option(before):
                yield str(value)
            yield from _in_tree(value)


def _is_secret(key: str) -> bool:
    return re.search(f"(?i){_NAMES}", key) is not None and _NO_SECRET.search(key) is None


def _leaves(plain: Any) -> Iterator[Any]:
    if isinstance(plain, dict):
        plain = list(plain.values())
    if isinstance(plain, list):
        for each in plain:
            yield from _leaves(each)
    elif plain is not None and not isinstance(plain, bool):
        yield str(plain).strip()
        yield from str(plain).strip().splitlines()


def _values(value: str, *, is_option: bool) -> Iterator[str]:
    """Return what a value may be: as it stands, without marks, up to a comma or a comment."""
    bare = _bare(value)
    for end in ("", ",", "}", "]", " #", *((" ",) if is_option else ())):
        part = bare if not end else bare.partition(end)[0]
        yield part.strip()
        yield _TYPE.sub("", part.strip())


def _bare(value: str) -> str:
    text = value.strip()
    if text[:1] == '"' and text[-1:] == '"' and len(text) > 1:
        try:
            return str(json.loads(text))
        except ValueError:
            return text[1:-1]
    if text[:1] == "'" and text[-1:] == "'" and len(text) > 1:
        return text[1:-1].replace("''", "'")
    return text


def _in_file(path: Path) -> Iterator[str]:
    """Return the lines of a file that holds a secret."""
    try:
        if path.is_file() and path.stat().st_size <= _FILE_BYTES_MAX:
            text = path.read_bytes().decode("utf-8", "replace")
            yield text.strip()
            yield from (line.strip() for line in text.splitlines())
    except (OSError, ValueError):
        return


class Secrets:
    """The secrets of this host, and what takes them out of texts and bytes."""

    def __init__(self, found: Iterable[str]) -> None:
        """Take what was found; placeholders and what is too short are none."""
        known = {
            each
            for each in found
            if len(each) >= _SHORTEST and each.lower() not in _PLACEHOLDERS and not each.isspace()
        }
        forms = {form for each in known for form in _forms(each)}
        # The longest first: one may be a part of another.
        self._known = sorted((form for form in forms if len(form) >= _SHORTEST), key=len)[::-1]

    def in_bytes(self, data: bytes) -> bool:
        """Return whether a secret stands in data."""
        return any(each.encode() in data for each in self._known)

    def without(self, text: str) -> str:
        """Return a text without the secrets, and without what looks like one."""
        return self.without_known(_masked(text))

    def without_known(self, text: str) -> str:
        """Return a text without the secrets that were found."""
        for each in self._known:
            text = text.replace(each, MASK)
        return text

    def without_in(self, plain: Any) -> Any:
        """Return a document of plain values without the secrets, and what looks like one."""
        if isinstance(plain, dict):
            return {
                self.without_known(str(key)): self._value(str(key), value)
                for key, value in plain.items()
            }
        if isinstance(plain, (list, tuple)):
            words = [None, *plain]
            return [
                MASK if _is_option(before) else self.without_in(value)
                for before, value in zip(words, plain)
            ]
        return self.without(plain) if isinstance(plain, str) else plain

    def _value(self, key: str, value: Any) -> Any:
        is_empty = not isinstance(value, (dict, list)) and str(value).lower() in _PLACEHOLDERS
        return MASK if _is_secret(key) and not is_empty else self.without_in(value)

    def blotted(self, data: bytes) -> bytes:
        """Return bytes, of which each is at its place, without the secrets."""
        for each in self._known:
            secret = each.encode()
            data = data.replace(secret, b"*" * len(secret))
        return data


def _is_option(word: object) -> bool:
    """Return whether the next word of a command is a secret."""
    return isinstance(word, str) and word[:1] == "-" and "=" not in word and _is_secret(word)


def _forms(secret: str) -> Iterator[str]:
    """Return a secret as other formats write it."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield escape(secret, {'"': "&quot;", "'": "&apos;"})
    yield escape(secret)
    yield secret.replace("'", "''")
    yield base64.b64encode(secret.encode()).decode()
    yield repr(secret)[1:-1]


def _masked(text: str) -> str:
    """Return a text without the values of keys with the names of secrets."""
    text = _PRIVATE.sub(MASK, text)
    text = _ADDRESS.sub(lambda match: f"{match['begin']}{MASK}", text)
    text = _HEADER.sub(lambda match: f"{match['begin']}{MASK}", text)
    return _PAIR.sub(_masked_pair, text)


def _masked_pair(match: re.Match[str]) -> str:
    key, gap, value = match["key"], match["gap"], match["value"]
    if _NO_SECRET.search(key) or value.strip().lower() in _PLACEHOLDERS or _is_prose(match):
        return match[0]
    mark = value[:1] if value[:1] in "\"'" and value[:1] == value[-1:] else ""
    return f"{key}{gap}{mark}{MASK}{mark}"
