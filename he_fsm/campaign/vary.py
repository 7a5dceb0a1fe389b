"""The keys that a campaign varies, their lists and ranges, and the document of one point."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any, Final, Optional, Union

import attrs

from he_fsm.document.forms import Choice, Integer, Schema, number_text
from he_fsm.document.mappings import forms_by_type, known_pairs, read_keys
from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import (
    Node,
    Pair,
    Place,
    Scalar,
    Sequence,
    as_mapping,
    as_scalar,
    describe,
    flow_text,
    refusal,
    suggestion,
)
from he_fsm.document.units import format_number, parse_duration
from he_fsm.policy import Policy
from he_fsm.scenario.language.reading import SETTABLE_INSIDE, section_of, with_value

_WHOLE: Final = ("policy", "hosts", "maintenance")
_FAULT_KEYS: Final = ("mtbf", "repair", "every", "lasts")
_FAULTS: Final = "faults"
_STEPS_MAX: Final = 1000


@attrs.frozen
class Range:
    """The numbers between two, both included; `unit` is written after a number."""

    low: float
    high: float
    steps: Optional[int]
    is_whole: bool
    unit: str
    place: Place
    path: str

    def at(self, fraction: float) -> Node:
        """Return the number at a fraction of the range, in the document's form."""
        number = self.low + (self.high - self.low) * fraction
        text = f"{round(number)}" if self.is_whole else f"{format_number(number)}{self.unit}"
        return Scalar(self.place, self.path, text, text)

    def grid(self) -> tuple[Node, ...]:
        """Return the numbers of the steps."""
        steps = self.steps or 1
        nodes = [self.at(index / (steps - 1) if steps > 1 else 0.0) for index in range(steps)]
        return tuple({flow_text(node): node for node in nodes}.values())


@attrs.frozen
class Axis:
    """One varied key and its values: `choices`, or a `range`."""

    key: str
    choices: tuple[Node, ...] = ()
    range: Optional[Range] = None

    def grid(self) -> tuple[Node, ...]:
        """Return the values of a grid."""
        return self.choices if self.range is None else self.range.grid()

    def at(self, fraction: float) -> Node:
        """Return the value at a fraction, from 0 to 1, of the range or of the list."""
        if self.range is not None:
            return self.range.at(fraction)
        return self.choices[min(int(fraction * len(self.choices)), len(self.choices) - 1)]


Point = tuple[Node, ...]


@attrs.frozen
class VaryForm:
    """The keys that are varied, each with a list of values or a range of numbers."""

    def read(self, node: Node, _context: Any) -> tuple[Axis, ...]:
        """Return the axes."""
        pairs = as_mapping(node, "a mapping like {policy.migration_threshold: [400, 800]}").pairs
        return tuple(_axis(key, pair) for key, pair in pairs.items())

    def schema(self) -> Schema:
        """Return the schema of an object; only the reader checks which keys it may have."""
        number = {"type": ["number", "string"]}
        a_range = {
            "type": "object",
            "properties": {"from": number, "to": number, "steps": {"type": "integer"}},
            "required": ["from", "to"],
            "additionalProperties": False,
        }
        values = {"anyOf": [{"type": "array", "minItems": 1}, a_range]}
        return {"type": "object", "additionalProperties": values}


def check_key(key: Scalar) -> None:
    """Refuse a key that can't be varied."""
    name, _, inner = key.label.partition(".")
    if inner and name in SETTABLE_INSIDE:
        return
    if name == _FAULTS and inner.rpartition(".")[2] in _FAULT_KEYS and "." in inner:
        return
    if not inner and name in _WHOLE:
        return
    # A key of the world or the policy without its section is what people write first.
    section = None if inner else section_of(name)
    if section is not None:
        raise refusal(key, f"this can't be varied, did you mean '{section}.{name}'?")
    known = [*_WHOLE, *(f"{name}.KEY" for name in SETTABLE_INSIDE), f"{_FAULTS}.NAME.KEY"]
    raise refusal(key, f"this can't be varied{suggestion(key.label, known)}")


def _axis(name: str, pair: Pair) -> Axis:
    check_key(pair.key)
    if isinstance(pair.value, Sequence) and pair.value.items:
        texts = [flow_text(item) for item in pair.value.items]
        for index, item in enumerate(pair.value.items):
            if texts[index] in texts[:index]:
                raise refusal(item, f"{texts[index]} stands here twice")
        return Axis(name, pair.value.items)
    if isinstance(pair.value, Tree):
        return Axis(name, range=_range(name, pair.value))
    message = "expected a list of values, or a range like {from: 1, to: 5, steps: 3}, got "
    raise refusal(pair.value, message + describe(pair.value))


def _range(name: str, node: Tree) -> Range:
    known_pairs(node, ("from", "to", "steps"), "a range")
    ends = []
    for key in ("from", "to"):
        if key not in node.pairs:
            raise refusal(node, f"the key '{key}' is missing")
        ends.append(_end(node.pairs[key].value))
    (low, unit), (high, other_unit) = ends
    if low >= high:
        raise refusal(node.pairs["to"].value, "expected more than 'from'")
    steps = read_keys(_only(node, "steps"), {"steps": Integer(2, _STEPS_MAX)}, None, "a range")
    return Range(
        low, high, steps.get("steps"), _is_whole(name), unit or other_unit, node.place, node.path
    )


def _only(node: Tree, key: str) -> Tree:
    return attrs.evolve(
        node, pairs={name: pair for name, pair in node.pairs.items() if name == key}
    )


def _end(node: Node) -> tuple[float, str]:
    """Return one end of a range (a time in seconds), and the unit to write."""
    what = "a number or a time"
    text = number_text(as_scalar(node, what))
    try:
        number = parse_duration(text)
    except (ValueError, OverflowError):
        raise refusal(node, f"expected {what}, got {describe(node)}") from None
    return number, "s" if text.strip()[-1:].isalpha() else ""


def _is_whole(key: str) -> bool:
    name, _, field = key.partition(".")
    return key == "hosts" or (
        name == "policy" and isinstance(forms_by_type(Policy).get(field), Integer)
    )


@attrs.frozen
class Search:
    """The points to play: the whole grid, or so many random samples."""

    samples: Optional[int] = None


@attrs.frozen
class SearchForm:
    """`grid`, or `{random: 20}`."""

    def read(self, node: Node, context: Any) -> Search:
        """Return the search."""
        if isinstance(node, Tree):
            values = read_keys(node, {"random": Integer(1, 10_000)}, context, "{random: 20}")
            return Search(values.get("random"))
        found: Search = Choice({"grid": Search()}).read(node, context)
        return found

    def schema(self) -> Schema:
        """Return the schema of the word, or of an object."""
        random_schema = {"random": Integer(1, 10_000).schema()}
        return {"anyOf": [{"enum": ["grid"]}, {"type": "object", "properties": random_schema}]}


def points(axes: tuple[Axis, ...], search: Search, seed: int, node: Node) -> Iterator[Point]:
    """Yield the points to play; *node* is the place of `vary`, for errors."""
    if search.samples is None:
        for axis in axes:
            if axis.range is not None and axis.range.steps is None:
                raise refusal(node, f"a grid needs 'steps' in the range of {axis.key}")
        yield from itertools.product(*(axis.grid() for axis in axes))
        return
    draws = random.Random(f"{seed}/search")  # noqa: S311 - a simulation
    seen: set[tuple[str, ...]] = set()
    for _ in range(search.samples):
        point = tuple(axis.at(draws.random()) for axis in axes)
        texts = tuple(map(flow_text, point))
        if texts not in seen:
            seen.add(texts)
            yield point


def with_point(tree: Tree, keys: tuple[str, ...], point: Point) -> Tree:
    """Return a campaign's document with the values of a point."""
    # A whole policy comes first, because its single fields are changes to it.
    for key, node in sorted(zip(keys, point), key=lambda pair: "." in pair[0]):
        name, _, inner = key.partition(".")
        tree = _with_fault(tree, inner, node) if name == _FAULTS else with_value(tree, key, node)
    return tree


def _with_fault(tree: Tree, dotted: str, value: Node) -> Tree:
    """Return the document with one key of a named fault replaced."""
    name, _, key = dotted.rpartition(".")
    listed = tree.get(_FAULTS)
    if not isinstance(listed, Sequence):
        raise refusal(listed or tree, "expected a list of faults")
    items = listed.items
    names = [_name_of(item) for item in items]
    if name not in names:
        raise refusal(value, f"no fault is called '{name}'{suggestion(name, filter(None, names))}")
    index = names.index(name)
    changed = with_value(as_mapping(items[index], "a fault"), key, value)
    sequence = attrs.evolve(listed, items=(*items[:index], changed, *items[index + 1 :]))
    return with_value(tree, _FAULTS, sequence)


def _name_of(fault: Node) -> Union[str, None]:
    if not isinstance(fault, Tree):
        return None
    name = fault.get("name") or fault.get("cause")
    return name.text if isinstance(name, Scalar) else None
