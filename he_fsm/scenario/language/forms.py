"""Forms of values that occur only in scenarios: comparisons, phrases, hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Optional

import attrs

from he_fsm.document.forms import FLAGS, Duration, Flag, Form, Number, Reader, Schema, number_text
from he_fsm.document.nodes import Node, Scalar, as_scalar, describe, is_null, refusal, suggestion
from he_fsm.document.units import Comparison, parse_comparison, parse_duration, parse_number
from he_fsm.scenario.language.host_names import HostNames

# A host id or a name, as a value.
HOST_SCHEMA: Final[Schema] = {"type": ["integer", "string"]}


@attrs.frozen
class Fraction:
    """A flag as 0.0 or 1.0, or a number between them."""

    def read(self, node: Node, hosts: HostNames) -> float:
        """Return the fraction."""
        if isinstance(node, Scalar) and node.text.lower() in FLAGS:
            return float(FLAGS[node.text.lower()])
        return Number(0, 1, "true, false or a fraction from 0 to 1").read(node, hosts)

    def schema(self) -> Schema:
        """Return the schema of a flag, or of a number from 0 to 1."""
        return {"anyOf": [*Flag().schema()["anyOf"], *Number(0, 1).schema()["anyOf"]]}


@attrs.frozen
class Load:
    """A load as a fraction of capacity, 0 to 1."""

    def read(self, node: Node, context: Any) -> float:
        """Return the fraction."""
        load = Number(minimum=0, what="a fraction of capacity, 0 to 1").read(node, context)
        if load > 1:
            percent = f"; {load / 100:g}?" if load <= 100 else ""
            raise refusal(
                node, f"expected a fraction of capacity, 0 to 1{percent} (got {describe(node)})"
            )
        return load

    def schema(self) -> Schema:
        """Return the schema of a number from 0 to 1."""
        return Number(0, 1).schema()


@attrs.frozen
class Compared:
    """A value, or a comparison with a value; `of` is `Duration()` or `Number()`."""

    PATTERN: ClassVar[str] = r"^\s*(<=|>=|!=|<|>)\s*"
    of: Form = attrs.field(factory=Number)

    def read(self, node: Node, _hosts: HostNames) -> Comparison:
        """Return the comparison; a bare value means equality."""
        is_time = isinstance(self.of, Duration)
        parse = parse_duration if is_time else parse_number
        what = (
            "a time or a comparison like '<= 200s'"
            if is_time
            else "a number or a comparison like '>= 3'"
        )
        try:
            return parse_comparison(number_text(as_scalar(node, what)), parse)
        except (ValueError, OverflowError):
            raise refusal(node, f"expected {what}, got {describe(node)}") from None

    def schema(self) -> Schema:
        """Return the schema of a value, or of a string that begins with an operator."""
        return {"anyOf": [*self.of.schema()["anyOf"], {"type": "string", "pattern": self.PATTERN}]}


@attrs.frozen
class Argument:
    """What may follow a word. If it `is_optional`, `default` is used where nothing follows."""

    form: Reader
    is_optional: bool = False
    default: Any = None


@attrs.frozen
class Phrase:
    """One of some words; some take an argument: `slow 15s`, `fail 3`."""

    words: Mapping[str, Optional[Argument]]

    def read(self, node: Node, hosts: HostNames) -> tuple[str, Any]:
        """Return the word and its argument; None: it takes none."""
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
        """Return the schema of a bare word, or of a word with an argument."""
        bare = [word for word, arg in self.words.items() if arg is None or arg.is_optional]
        longer = [word for word, arg in self.words.items() if arg is not None]
        pattern = f"^({'|'.join(longer)}) .+"
        return {"anyOf": [{"enum": bare}, {"type": "string", "pattern": pattern}]}


@attrs.frozen
class HostReference:
    """The id or name of one host, read as its name. `or_null`: null stands for no host."""

    or_null: bool = False

    def read(self, node: Node, hosts: HostNames) -> str | None:
        """Return the host's name."""
        if self.or_null and is_null(node):
            return None
        return hosts.one(node)

    def schema(self) -> Schema:
        """Return the schema of a number or a text."""
        return {"type": [*HOST_SCHEMA["type"], *(["null"] if self.or_null else [])]}
