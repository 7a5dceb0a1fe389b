"""
Forms: how a value may be written. Each form reads one kind of value, and has its JSON Schema.

Only the form knows how its value is written. The reader and the published schema both use the
form, so they cannot disagree. Whatever else a form needs to read a value (the hosts of a scenario,
the folder of a file) is the *context*, which is the same for all forms of a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Optional, Protocol

import attrs

from he_fsm.document.nodes import (
    Node,
    Scalar,
    Sequence,
    as_scalar,
    describe,
    is_null,
    refusal,
    refuse_octal,
    suggestion,
)
from he_fsm.document.units import (
    DURATION_PATTERN,
    LONGEST_S,
    LONGEST_TEXT,
    NUMBER_PATTERN,
    parse_duration,
    parse_number,
    short_duration,
)
from he_fsm.errors import DocumentError

Schema = dict[str, Any]

FLAGS: Final[Mapping[str, bool]] = {
    "true": True,
    "on": True,
    "yes": True,
    "false": False,
    "off": False,
    "no": False,
}


class Reader(Protocol):
    """Reads one kind of value."""

    def read(self, node: Node, context: Any) -> Any:
        """Return the value, or raise `DocumentError` at its place."""


class Form(Reader, Protocol):
    """Reads one kind of value, and has its JSON Schema."""

    def schema(self) -> Schema:
        """Return the JSON Schema of the value."""


def _number(node: Node, what: str, parse: Callable[[str], float]) -> float:
    try:
        return parse(number_text(as_scalar(node, what)))
    except (ValueError, OverflowError):
        raise refusal(node, f"expected {what}, got {describe(node)}") from None


def number_text(scalar: Scalar) -> str:
    """
    Return a number as YAML reads it (`1_000`, `0x10`), and any other value as written.

    Raises:
        DocumentError: see `refuse_octal`.
    """
    is_number = isinstance(scalar.value, (int, float)) and not isinstance(scalar.value, bool)
    refuse_octal(scalar)
    return repr(scalar.value) if is_number else scalar.text


@attrs.frozen
class Duration:
    """A time in seconds. `signed`: may be below 0; `positive`: must be above 0."""

    signed: bool = False
    positive: bool = False

    def read(self, node: Node, _context: Any) -> float:
        """Return the time in seconds."""
        what = "a time, like 10s, 1h30m or a number of seconds"
        try:
            seconds = _number(node, what, parse_duration)
        except DocumentError as error:
            short = short_duration(node.text) if isinstance(node, Scalar) else ""
            if not short:
                raise
            raise refusal(node, f"expected {what}, got {describe(node)}: write {short}") from error
        if seconds < 0 and not self.signed:
            raise refusal(node, f"expected a time of 0 or more, got {describe(node)}")
        if self.positive and not seconds:
            raise refusal(node, "expected a time above 0")
        if abs(seconds) > LONGEST_S:
            raise refusal(node, f"expected {LONGEST_TEXT} at most, got {describe(node)}")
        return seconds

    def schema(self) -> Schema:
        """Return the schema of a number of seconds, or of a string with units."""
        number: Schema = {"type": "number", "minimum": -LONGEST_S, "maximum": LONGEST_S}
        if self.positive:
            del number["minimum"]
            number["exclusiveMinimum"] = 0
        elif not self.signed:
            number["minimum"] = 0
        sign = "[+-]?" if self.signed else r"\+?"
        return {"anyOf": [number, {"type": "string", "pattern": f"^{sign}{DURATION_PATTERN}$"}]}


@attrs.frozen
class Number:
    """A finite number within limits, which are included."""

    minimum: Optional[float] = None
    maximum: Optional[float] = None
    what: str = "a number"

    def read(self, node: Node, _context: Any) -> float:
        """Return the number."""
        number = _number(node, self.what, parse_number)
        if self.minimum is not None and number < self.minimum:
            raise refusal(node, f"expected {self.minimum:g} or more, got {describe(node)}")
        if self.maximum is not None and number > self.maximum:
            raise refusal(node, f"expected {self.maximum:g} or less, got {describe(node)}")
        return number

    def schema(self) -> Schema:
        """Return the schema of a number, or of a string that holds one."""
        number: Schema = {"type": "number"}
        if self.minimum is not None:
            number["minimum"] = self.minimum
        if self.maximum is not None:
            number["maximum"] = self.maximum
        text = {"type": "string", "pattern": f"^[+-]?{NUMBER_PATTERN}(?:[eE][+-]?[0-9]+)?$"}
        return {"anyOf": [number, text]}


@attrs.frozen
class Integer:
    """A whole number within limits, which are included."""

    minimum: Optional[int] = None
    maximum: Optional[int] = None

    def read(self, node: Node, _context: Any) -> int:
        """Return the number."""
        number = int(_number(node, "a whole number", _whole))
        if self.minimum is not None and number < self.minimum:
            raise refusal(node, f"expected {self.minimum} or more, got {describe(node)}")
        if self.maximum is not None and number > self.maximum:
            raise refusal(node, f"expected {self.maximum} or less, got {describe(node)}")
        return number

    def schema(self) -> Schema:
        """Return the schema of an integer, or of a string that holds one."""
        number: Schema = {"type": "integer"}
        if self.minimum is not None:
            number["minimum"] = self.minimum
        if self.maximum is not None:
            number["maximum"] = self.maximum
        return {"anyOf": [number, {"type": "string", "pattern": "^[+-]?[0-9]+$"}]}


def _whole(text: str) -> float:
    if re.fullmatch("[+-]?[0-9]+", text):
        return int(text)
    number = parse_number(text)
    if not number.is_integer():
        raise ValueError(text)
    return number


@attrs.frozen
class Flag:
    """True or false, in any of YAML's words for them."""

    def read(self, node: Node, _context: Any) -> bool:
        """Return the flag."""
        scalar = as_scalar(node, "true or false")
        flag = FLAGS.get(scalar.text.lower())
        if flag is None:
            raise refusal(node, f"expected true or false, got {describe(node)}")
        return flag

    def schema(self) -> Schema:
        """Return the schema of a boolean, or of one of YAML's words for it."""
        return {"anyOf": [{"type": "boolean"}, {"enum": list(FLAGS)}]}


@attrs.frozen
class Text:
    """Any text, which may be empty or null only if `may_be_empty`."""

    what: str = "a text"
    may_be_empty: bool = False

    def read(self, node: Node, _context: Any) -> str:
        """Return the text as it was written."""
        if self.may_be_empty and isinstance(node, Scalar):
            return "" if node.value is None else node.text
        scalar = as_scalar(node, self.what)
        if not scalar.text.strip():
            raise refusal(node, f"expected {self.what}, got an empty one")
        return scalar.text

    def schema(self) -> Schema:
        """Return the schema of any plain value, since YAML reads some texts as numbers."""
        if self.may_be_empty:
            return {"type": ["string", "number", "boolean", "null"]}
        return {"type": ["string", "number", "boolean"], "minLength": 1}


def word_of(scalar: Scalar, words: tuple[str, ...]) -> str | None:
    """Return the one of *words* that was written; YAML's booleans stand for `on` and `off` too."""
    text = scalar.text.lower() if isinstance(scalar.value, bool) else scalar.text
    if text in words:
        return text
    flag = FLAGS.get(text)
    synonyms = [word for word in words if flag is not None and FLAGS.get(word) is flag]
    return synonyms[0] if synonyms else None


def words_schema(words: tuple[str, ...]) -> Schema:
    """Return the schema of one of some words; with `on` or `off`, also YAML's booleans."""
    flags = {FLAGS[word] for word in words if word in FLAGS}
    synonyms = [word for word, flag in FLAGS.items() if flag in flags and word not in words]
    return {"enum": [*words, *synonyms, *sorted(flags)]}


@attrs.frozen
class Choice:
    """One of some words, each of which stands for a value."""

    values: Mapping[str, Any]

    @classmethod
    def of(cls, *words: str) -> Choice:
        """Make a choice of words that stand for themselves."""
        return cls({word: word for word in words})

    def read(self, node: Node, _context: Any) -> Any:
        """Return what the word stands for."""
        words = tuple(self.values)
        scalar = as_scalar(node, f"one of {', '.join(words)}")
        word = word_of(scalar, words)
        if word is None:
            raise refusal(node, f"unknown word {describe(node)}{suggestion(scalar.text, words)}")
        return self.values[word]

    def schema(self) -> Schema:
        """Return the schema of the words."""
        return words_schema(tuple(self.values))


@attrs.frozen
class ListOf:
    """A list of values of one form; null is an empty list."""

    form: Form
    what: str = "a list"

    def read(self, node: Node, context: Any) -> tuple[Any, ...]:
        """Return the values."""
        if is_null(node):
            return ()
        if not isinstance(node, Sequence):
            raise refusal(node, f"expected {self.what}, got {describe(node)}")
        return tuple(self.form.read(item, context) for item in node.items)

    def schema(self) -> Schema:
        """Return the schema of an array, or of null."""
        return {"type": ["array", "null"], "items": self.form.schema()}


@attrs.frozen
class OrNull:
    """A value of another form, or null."""

    form: Form

    def read(self, node: Node, context: Any) -> Any:
        """Return the value, or None."""
        return None if is_null(node) else self.form.read(node, context)

    def schema(self) -> Schema:
        """Return the form's schema, or null."""
        return {"anyOf": [self.form.schema(), {"type": "null"}]}


@attrs.frozen
class OrWord:
    """A value of another form, or a word that stands for itself; `what` says that, for errors."""

    form: Form
    word: str
    what: str

    def read(self, node: Node, context: Any) -> Any:
        """Return the value, or the word."""
        if isinstance(node, Scalar) and node.text == self.word:
            return self.word
        try:
            return self.form.read(node, context)
        except DocumentError as error:
            raise refusal(node, f"expected {self.what}, got {describe(node)}") from error

    def schema(self) -> Schema:
        """Return the form's schema, or the word's."""
        return {"anyOf": [self.form.schema(), {"const": self.word}]}
