"""
What a value may look like: each form reads one, and says the same as JSON Schema.

A form is the only place that knows how a value is written; the reader and the published
schema both ask it, so that they cannot disagree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Optional, Protocol

import attrs

from he_fsm.scenario.host_names import HostNames
from he_fsm.scenario.nodes import (
    Node,
    Scalar,
    Sequence,
    as_scalar,
    describe,
    is_null,
    refusal,
    suggestion,
)
from he_fsm.scenario.units import (
    DURATION_PATTERN,
    NUMBER_PATTERN,
    Comparison,
    parse_comparison,
    parse_duration,
    parse_number,
)

Schema = dict[str, Any]

FLAGS: Final[Mapping[str, bool]] = {
    "true": True,
    "on": True,
    "yes": True,
    "false": False,
    "off": False,
    "no": False,
}
# A host id or a name, as a value.
HOST_SCHEMA: Final[Schema] = {"type": ["integer", "string"]}


class Reader(Protocol):
    """Reads one kind of value."""

    def read(self, node: Node, hosts: HostNames) -> Any:
        """Give the value, or raise `ScenarioError` at its place."""


class Form(Reader, Protocol):
    """Reads one kind of value, and can describe it."""

    def schema(self) -> Schema:
        """Give the JSON Schema of the value."""


def _number(node: Node, what: str, parse: Callable[[str], float]) -> float:
    try:
        return parse(_number_text(as_scalar(node, what)))
    except (ValueError, OverflowError):
        raise refusal(node, f"expected {what}, got {describe(node)}") from None


def _number_text(scalar: Scalar) -> str:
    """Give what YAML made of a number (`1_000`, `0x10`), and any other value as written."""
    is_number = isinstance(scalar.value, (int, float)) and not isinstance(scalar.value, bool)
    return repr(scalar.value) if is_number else scalar.text


@attrs.frozen
class Duration:
    """A time in seconds. `signed`: may be below 0; `positive`: must be above 0."""

    signed: bool = False
    positive: bool = False

    def read(self, node: Node, _hosts: HostNames) -> float:
        """Give seconds."""
        what = "a time, like 10s, 1h30m or a number of seconds"
        seconds = _number(node, what, parse_duration)
        if seconds < 0 and not self.signed:
            raise refusal(node, f"expected a time of 0 or more, got {describe(node)}")
        if self.positive and not seconds:
            raise refusal(node, "expected a time above 0")
        return seconds

    def schema(self) -> Schema:
        """Give a number of seconds, or a string with units."""
        number: Schema = {"type": "number"}
        if not self.signed:
            number["exclusiveMinimum" if self.positive else "minimum"] = 0
        sign = "[+-]?" if self.signed else r"\+?"
        return {"anyOf": [number, {"type": "string", "pattern": f"^{sign}{DURATION_PATTERN}$"}]}


@attrs.frozen
class Number:
    """A finite number, both limits included."""

    minimum: Optional[float] = None
    maximum: Optional[float] = None
    what: str = "a number"

    def read(self, node: Node, _hosts: HostNames) -> float:
        """Give the number."""
        number = _number(node, self.what, parse_number)
        if self.minimum is not None and number < self.minimum:
            raise refusal(node, f"expected {self.minimum:g} or more, got {describe(node)}")
        if self.maximum is not None and number > self.maximum:
            raise refusal(node, f"expected {self.maximum:g} or less, got {describe(node)}")
        return number

    def schema(self) -> Schema:
        """Give a number, or a string that is one."""
        number: Schema = {"type": "number"}
        if self.minimum is not None:
            number["minimum"] = self.minimum
        if self.maximum is not None:
            number["maximum"] = self.maximum
        text = {"type": "string", "pattern": f"^[+-]?{NUMBER_PATTERN}(?:[eE][+-]?[0-9]+)?$"}
        return {"anyOf": [number, text]}


@attrs.frozen
class Integer:
    """A whole number, both limits included."""

    minimum: Optional[int] = None
    maximum: Optional[int] = None

    def read(self, node: Node, _hosts: HostNames) -> int:
        """Give the number."""
        number = int(_number(node, "a whole number", _whole))
        if self.minimum is not None and number < self.minimum:
            raise refusal(node, f"expected {self.minimum} or more, got {describe(node)}")
        if self.maximum is not None and number > self.maximum:
            raise refusal(node, f"expected {self.maximum} or less, got {describe(node)}")
        return number

    def schema(self) -> Schema:
        """Give an integer, or a string that is one."""
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
    """True or false, in any of YAML's words."""

    def read(self, node: Node, _hosts: HostNames) -> bool:
        """Give the flag."""
        scalar = as_scalar(node, "true or false")
        flag = FLAGS.get(scalar.text.lower())
        if flag is None:
            raise refusal(node, f"expected true or false, got {describe(node)}")
        return flag

    def schema(self) -> Schema:
        """Give a boolean, or one of YAML's words."""
        return {"anyOf": [{"type": "boolean"}, {"enum": list(FLAGS)}]}


@attrs.frozen
class Fraction:
    """A flag as 0.0 or 1.0, or a number between them."""

    def read(self, node: Node, hosts: HostNames) -> float:
        """Give the fraction."""
        if isinstance(node, Scalar) and node.text.lower() in FLAGS:
            return float(FLAGS[node.text.lower()])
        return Number(0, 1, "true, false or a fraction from 0 to 1").read(node, hosts)

    def schema(self) -> Schema:
        """Give a flag or a number from 0 to 1."""
        return {"anyOf": [*Flag().schema()["anyOf"], *Number(0, 1).schema()["anyOf"]]}


@attrs.frozen
class Text:
    """Any text, which may be empty or null only if `may_be_empty`."""

    what: str = "a text"
    may_be_empty: bool = False

    def read(self, node: Node, _hosts: HostNames) -> str:
        """Give the text as it was written."""
        if self.may_be_empty and isinstance(node, Scalar):
            return "" if node.value is None else node.text
        scalar = as_scalar(node, self.what)
        if not scalar.text.strip():
            raise refusal(node, f"expected {self.what}, got an empty one")
        return scalar.text

    def schema(self) -> Schema:
        """Give any plain value: YAML reads some texts as numbers."""
        if self.may_be_empty:
            return {"type": ["string", "number", "boolean", "null"]}
        return {"type": ["string", "number", "boolean"], "minLength": 1}


def word_of(scalar: Scalar, words: tuple[str, ...]) -> str | None:
    """Give the one of *words* that was written; YAML's true and false are `on` and `off` too."""
    text = scalar.text.lower() if isinstance(scalar.value, bool) else scalar.text
    if text in words:
        return text
    flag = FLAGS.get(text)
    synonyms = [word for word in words if flag is not None and FLAGS.get(word) is flag]
    return synonyms[0] if synonyms else None


def words_schema(words: tuple[str, ...]) -> Schema:
    """Give the schema of one of some words, with YAML's booleans where `on` or `off` is one."""
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

    def read(self, node: Node, _hosts: HostNames) -> Any:
        """Give what the word stands for."""
        words = tuple(self.values)
        scalar = as_scalar(node, f"one of {', '.join(words)}")
        word = word_of(scalar, words)
        if word is None:
            raise refusal(node, f"unknown word {describe(node)}{suggestion(scalar.text, words)}")
        return self.values[word]

    def schema(self) -> Schema:
        """Give the words."""
        return words_schema(tuple(self.values))


@attrs.frozen
class Compared:
    """A value or a comparison with one; `of` is `Duration()` or `Number()`."""

    PATTERN: ClassVar[str] = r"^\s*(<=|>=|!=|<|>)\s*"
    of: Form = attrs.field(factory=Number)

    def read(self, node: Node, _hosts: HostNames) -> Comparison:
        """Give the comparison; a bare value means equality."""
        is_time = isinstance(self.of, Duration)
        parse = parse_duration if is_time else parse_number
        what = (
            "a time or a comparison like '<= 200s'"
            if is_time
            else "a number or a comparison like '>= 3'"
        )
        try:
            return parse_comparison(_number_text(as_scalar(node, what)), parse)
        except (ValueError, OverflowError):
            raise refusal(node, f"expected {what}, got {describe(node)}") from None

    def schema(self) -> Schema:
        """Give the value, or a string that begins with an operator."""
        return {"anyOf": [*self.of.schema()["anyOf"], {"type": "string", "pattern": self.PATTERN}]}


@attrs.frozen
class Argument:
    """What may follow a word. `default` is used where nothing follows, if `is_optional`."""

    form: Reader
    is_optional: bool = False
    default: Any = None


@attrs.frozen
class Phrase:
    """A word, after some of which an argument stands: `slow 15s`, `fail 3`."""

    words: Mapping[str, Optional[Argument]]

    def read(self, node: Node, hosts: HostNames) -> tuple[str, Any]:
        """Give the word and its argument, None where it takes none."""
        scalar = as_scalar(node, f"one of {', '.join(self.words)}")
        word, _, rest = scalar.text.partition(" ")
        argument = self.words.get(word)
        if word not in self.words:
            raise refusal(node, f"unknown word {word!r}{suggestion(word, self.words)}")
        if argument is None:
            if rest.strip():
                raise refusal(node, f"nothing may follow '{word}', got {rest.strip()!r}")
            return word, None
        if not rest.strip():
            if not argument.is_optional:
                raise refusal(node, f"something has to follow '{word}'")
            return word, argument.default
        return word, argument.form.read(attrs.evolve(scalar, text=rest, value=rest), hosts)

    def schema(self) -> Schema:
        """Give the bare words, and a pattern for those with an argument."""
        bare = [word for word, arg in self.words.items() if arg is None or arg.is_optional]
        longer = [word for word, arg in self.words.items() if arg is not None]
        pattern = f"^({'|'.join(longer)}) .+"
        return {"anyOf": [{"enum": bare}, {"type": "string", "pattern": pattern}]}


@attrs.frozen
class ListOf:
    """A list of values of one form; nothing at all (null) is an empty one."""

    form: Form
    what: str = "a list"

    def read(self, node: Node, hosts: HostNames) -> tuple[Any, ...]:
        """Give the values."""
        if is_null(node):
            return ()
        if not isinstance(node, Sequence):
            raise refusal(node, f"expected {self.what}, got {describe(node)}")
        return tuple(self.form.read(item, hosts) for item in node.items)

    def schema(self) -> Schema:
        """Give an array."""
        return {"type": ["array", "null"], "items": self.form.schema()}


@attrs.frozen
class HostReference:
    """The id or name of one host; gives its name. `or_null`: null stands for none."""

    or_null: bool = False

    def read(self, node: Node, hosts: HostNames) -> str | None:
        """Give the host's name."""
        if self.or_null and is_null(node):
            return None
        return hosts.one(node)

    def schema(self) -> Schema:
        """Give a number or a text."""
        return {"type": [*HOST_SCHEMA["type"], *(["null"] if self.or_null else [])]}
