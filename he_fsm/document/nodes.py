"""A YAML file as a tree in which every value knows its place and its path."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Union

import attrs
import yaml
from yaml.constructor import SafeConstructor

from he_fsm.document.aliases import too_large
from he_fsm.errors import DocumentError, HeFsmError

_TAG: Final = "tag:yaml.org,2002:"
_MERGE: Final = _TAG + "merge"
_SCALAR_TAGS: Final = frozenset(
    _TAG + kind for kind in ("str", "int", "float", "bool", "null", "timestamp", "value")
)
_LEADING_ZERO: Final = re.compile("([+-]?)0+([0-9]+)")
# Far above any real file. Without a limit, aliases of aliases could fill the memory.
_NODES_MAX: Final = 1_000_000


@attrs.frozen
class Place:
    """Where a value was written; lines and columns count from 1, line 0: in no file (`--set`)."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Return `file:line`."""
        return f"{self.file}:{self.line}" if self.line else self.file

    @property
    def exact(self) -> str:
        """`file:line:column`."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@attrs.frozen
class Scalar:
    """
    One plain value: `text` as written (without quotes), `value` as YAML understands it.

    `is_bare`: it stands in a YAML document, and not in quotes.
    """

    place: Place
    path: str
    text: str
    value: Union[bool, int, float, str, None]
    is_bare: bool = attrs.field(default=False, eq=False)

    @property
    def label(self) -> str:
        """
        The value as the name of a key or of a host: the same for `2`, `"2"` and `0x2`.

        Raises:
            DocumentError: see `refuse_octal`.
        """
        refuse_octal(self)
        if isinstance(self.value, int) and not isinstance(self.value, bool):
            return str(self.value)
        return self.text


@attrs.frozen
class Sequence:
    """A list of values."""

    place: Place
    path: str
    items: tuple[Node, ...]


@attrs.frozen
class Pair:
    """One key of a mapping and its value."""

    key: Scalar
    value: Node


@attrs.frozen
class Mapping:
    """Pairs of key and value in the order of the file, by the label of the key."""

    place: Place
    path: str
    pairs: dict[str, Pair]

    def get(self, key: str) -> Node | None:
        """Return the value of a key, or None where the key is not there."""
        pair = self.pairs.get(key)
        return None if pair is None else pair.value


Node = Union[Scalar, Sequence, Mapping]


def refusal(node: Node, message: str) -> DocumentError:
    """Make the error that names the place and the path of a value."""
    path = f"{node.path}: " if node.path else ""
    return DocumentError(f"{node.place.exact}: {path}{message}")


def refuse_octal(scalar: Scalar) -> None:
    """
    Refuse a whole number with a leading zero, which YAML 1.1 reads as octal without a word.

    With a digit 8 or 9, YAML reads a text, which a reader of numbers would take for decimal.

    Raises:
        DocumentError: it is one; both readings are named, if there are two.
    """
    # A text in quotes, and one of another format, was meant as it is written.
    if not scalar.is_bare or not isinstance(scalar.value, (int, str)):
        return
    found = _LEADING_ZERO.fullmatch(scalar.text.replace("_", ""))
    if found is None:
        return
    decimal = found[1].replace("+", "") + found[2]
    if isinstance(scalar.value, int):
        readings = sorted({scalar.value, int(decimal)}, key=abs, reverse=True)
        choices = " or ".join(map(str, readings))
        reading = f"and YAML reads it as octal, {scalar.value}: write {choices}"
    else:
        digit = next((digit for digit in found[2] if digit in "89"), None)
        if digit is None:
            # It has the tag `!!str`.
            return
        reading = f"which in YAML means octal, where there is no digit {digit}: write {decimal}"
    raise refusal(scalar, f"{describe(scalar)} has a leading zero, {reading}")


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown word: the nearest known word, or all of them."""
    names = [str(name) for name in known]
    lower = {name.lower(): name for name in reversed(names)}
    near = difflib.get_close_matches(word.lower(), lower, n=1)
    if near:
        return f", did you mean '{lower[near[0]]}'?"
    return f"; known: {', '.join(names)}"


def describe(node: Node) -> str:
    """Return what a node holds in a few words, for messages."""
    if isinstance(node, Mapping):
        return "a mapping" if node.pairs else "an empty mapping"
    if isinstance(node, Sequence):
        return "a list" if node.items else "an empty list"
    if node.value is None:
        return "nothing (null)"
    return repr(node.text if len(node.text) <= 40 else node.text[:37] + "...")


def as_mapping(node: Node, what: str) -> Mapping:
    """Return the node as a mapping, or raise an error that says *what* was expected."""
    if not isinstance(node, Mapping):
        raise refusal(node, f"expected {what}, got {describe(node)}")
    return node


def is_null(node: Node) -> bool:
    """Return whether the value is null."""
    return isinstance(node, Scalar) and node.value is None


def as_scalar(node: Node, what: str) -> Scalar:
    """Return the node as a plain value other than null, or raise an error."""
    if not isinstance(node, Scalar) or is_null(node):
        raise refusal(node, f"expected {what}, got {describe(node)}")
    return node


def flow_text(node: Node) -> str:
    """Write a value on one line, in YAML's flow style."""
    if isinstance(node, Scalar):
        return "null" if node.value is None else node.text
    if isinstance(node, Sequence):
        return f"[{', '.join(flow_text(item) for item in node.items)}]"
    inside = (f"{pair.key.text}: {flow_text(pair.value)}" for pair in node.pairs.values())
    return f"{{{', '.join(inside)}}}"


def nearest(tree: Mapping, *keys: str) -> Node:
    """
    Return what stands at a path of keys, for a message about it.

    Where nothing stands there, the result is null, with the whole path, at the place of the nearest
    key or section above it that the file has.
    """
    node: Node = tree
    for key in keys:
        pair = node.pairs.get(key) if isinstance(node, Mapping) else None
        if pair is None:
            return Scalar(node.place, ".".join(keys), "", None)
        if is_null(pair.value):
            return Scalar(pair.key.place, ".".join(keys), "", None)
        node = pair.value
    return node


def lacking(tree: Mapping, section: tuple[str, ...], key: str, who: str) -> DocumentError:
    """Make the error that *who* (`the test "ping"`) needs a key that a section does not have."""
    node = nearest(tree, *section)
    message = f'{who} needs the key "{key}"'
    if is_null(node):
        # There is no such section to look for.
        *above, last = section
        text = f"{last}: {{{key}: ...}}"
        for name in reversed(above):
            text = f"{name}: {{{text}}}"
        message += f"; write {text}"
    return refusal(node, message)


@contextmanager
def refused_as(kind: type[HeFsmError]) -> Iterator[None]:
    """Convert a `DocumentError` to an error of *kind*, which the callers of a reader expect."""
    try:
        yield
    except DocumentError as e:
        raise kind(str(e)) from e.__cause__


def parse_tree(text: str, file_name: str, what: str) -> Node:
    """
    Read one YAML document; *what* is expected in it, for the message about an empty file.

    Raises:
        DocumentError: the text is not YAML, is empty, or has a key twice, a tag, or more than one
            document.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            msg = f"{file_name}:1:1: the file is empty, expected {what}"
            raise DocumentError(msg)
        tree = _Tree(file_name)
        if "*" in text:
            tree.check_aliases(root)
        return tree.convert(root, "")
    except yaml.MarkedYAMLError as e:
        raise DocumentError(_yaml_message(e, file_name)) from e
    except yaml.reader.ReaderError as e:
        before = text[: e.position]
        column = len(before) - (before.rfind("\n") + 1) + 1
        place = Place(file_name, before.count("\n") + 1, column)
        msg = f"{place.exact}: not YAML: a character that is not allowed ({e.reason})"
        raise DocumentError(msg) from e
    except (ValueError, OverflowError) as e:
        # PyYAML passes an escape like "\UFFFFFFFF" to chr(), whose error does not say where it is.
        msg = f"{file_name}:1:1: not YAML: an escape in quotes that stands for no character"
        raise DocumentError(msg) from e
    except RecursionError as e:
        msg = f"{file_name}:1:1: the file is nested too deeply"
        raise DocumentError(msg) from e


def parse_value(text: str, origin: str, path: str) -> Node:
    """Read a value that does not come from a file; errors name *origin* in place of a line."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as e:
        msg = f"{origin}: {path}: can't be read as YAML"
        raise DocumentError(msg) from e
    if root is None:
        return Scalar(Place(origin), path, "", None)
    return _Tree(origin, has_lines=False).convert(root, path)


def _yaml_message(error: yaml.MarkedYAMLError, file_name: str) -> str:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    parts = [part for part in (error.context, error.problem) if part]
    return f"{file_name}:{line}:{column}: not YAML: {', '.join(parts)}"


@attrs.define
class _Tree:
    """Converts PyYAML's nodes: resolves aliases and merge keys, and adds the path of each value."""

    file_name: str
    has_lines: bool = True
    open_nodes: list[int] = attrs.field(factory=list)
    count: int = 0

    def check_aliases(self, root: yaml.Node) -> None:
        """Refuse aliases of aliases that stand for far too much, before anything is converted."""
        found = too_large(root, _NODES_MAX)
        if found is not None:
            node, path = found
            raise self.too_large(self.place(node), path)

    def too_large(self, place: Place, path: str) -> DocumentError:
        where = f"{path}: " if path else ""
        message = "the file is too large when its aliases are written out"
        return DocumentError(f"{place.exact}: {where}{message}")

    def convert(self, node: yaml.Node, path: str) -> Node:
        """Convert one node and all below it."""
        place = self.place(node)
        self.count += 1
        if self.count > _NODES_MAX:
            raise self.too_large(place, path)
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, place, path)
        if id(node) in self.open_nodes:
            msg = f"{place.exact}: {path}: an alias can't stand for something that it is part of"
            raise DocumentError(msg)
        self.open_nodes.append(id(node))
        result: Node
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            items = tuple(
                self.convert(item, f"{path}[{index}]") for index, item in enumerate(node.value)
            )
            result = Sequence(place, path, items)
        elif isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            result = self.mapping(node, place, path)
        else:
            raise self.unknown_tag(node, place, path)
        self.open_nodes.pop()
        return result

    def place(self, node: yaml.Node) -> Place:
        if not self.has_lines:
            return Place(self.file_name)
        return Place(self.file_name, node.start_mark.line + 1, node.start_mark.column + 1)

    def unknown_tag(self, node: yaml.Node, place: Place, path: str) -> DocumentError:
        where = f"{path}: " if path else ""
        return DocumentError(f"{place.exact}: {where}the YAML tag {node.tag} is not used here")

    def scalar(self, node: yaml.ScalarNode, place: Place, path: str) -> Scalar:
        if node.tag not in _SCALAR_TAGS:
            raise self.unknown_tag(node, place, path)
        if not node.value.isprintable() and any("\ud800" <= c <= "\udfff" for c in node.value):
            where = f"{path}: " if path else ""
            msg = f"{place.exact}: {where}half of a surrogate pair is no character"
            raise DocumentError(msg)
        construct = SafeConstructor()
        value: Union[bool, int, float, str, None] = node.value
        try:
            if node.tag == _TAG + "null":
                value = None
            elif node.tag == _TAG + "bool":
                value = construct.construct_yaml_bool(node)
            elif node.tag == _TAG + "int":
                value = construct.construct_yaml_int(node)
            elif node.tag == _TAG + "float":
                value = construct.construct_yaml_float(node)
        except (ValueError, KeyError):
            # An explicit tag that does not fit its value, or `0x_`: keep the text as written.
            value = node.value
        return Scalar(place, path, node.value, value, is_bare=node.style is None)

    def mapping(self, node: yaml.MappingNode, place: Place, path: str) -> Mapping:
        own: dict[str, Pair] = {}
        merged: dict[str, Pair] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                for pair in self.merge(value_node, path):
                    merged.setdefault(pair.key.label, pair)
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                msg = f"{self.place(key_node).exact}: {path}: a key has to be a plain value"
                raise DocumentError(msg)
            key = self.scalar(key_node, self.place(key_node), path)
            key = attrs.evolve(key, path=f"{path}.{key.label}" if path else key.label)
            if key.label in own:
                first = own[key.label].key.place.exact
                raise refusal(key, f"this key stands here twice, first at {first}")
            own[key.label] = Pair(key, self.convert(value_node, key.path))
        for label, pair in merged.items():
            own.setdefault(label, pair)
        return Mapping(place, path, own)

    def merge(self, node: yaml.Node, path: str) -> list[Pair]:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        pairs: list[Pair] = []
        for part in parts:
            source = self.convert(part, path)
            pairs.extend(as_mapping(source, "a mapping after '<<'").pairs.values())
        return pairs
