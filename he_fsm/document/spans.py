"""
Changes to a YAML document that touch nothing but the value that changes.

Comments, order, spaces and the way in which all other values are written stay as they are. Each
change is checked: what is read afterwards is what was read before, with this one change. What an
alias (`*`) stands for, for example, can't be changed in one place alone, and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Union

import yaml

from he_fsm.document.nodes import Mapping, Node, Scalar, parse_tree
from he_fsm.errors import DocumentError

# A key of a mapping, or the index of an item of a list.
Step = Union[str, int]
Path = Sequence[Step]

_FAR: Final = 1_000_000
_WHAT: Final = "a mapping"


def with_value(text: str, path: Path, value: Any, *, order: Sequence[str] = ()) -> str:
    """
    Return a document with the value at a path replaced, or a key added to a mapping.

    Args:
        path: where it is. All but the last step must be there.
        value: a plain value, without anything that YAML needs a tag for.
        order: keys in the order in which they usually stand, for a key that is added.

    Raises:
        DocumentError: the document is not YAML, has no such place, or can't be changed there alone.
    """

    def change(above: Sequence[yaml.Node], step: Step) -> str:
        holder = above[-1]
        found = _child(holder, step)
        if found is not None:
            return _replaced(text, holder, found, _flow(value))
        if isinstance(holder, yaml.MappingNode) and isinstance(step, str):
            return _with_pair(text, holder, step, value, order)
        raise _nowhere(path)

    def expect(plain: Any, step: Step) -> None:
        plain[step] = value

    return _changed(text, path, change, expect)


def with_item(text: str, path: Path, value: Any) -> str:
    """
    Return a document with an item added at the end of the list at a path.

    Raises:
        DocumentError: as for `with_value`.
    """

    def change(above: Sequence[yaml.Node], step: Step) -> str:
        holder = above[-1]
        found = _child(holder, step)
        if not isinstance(found, yaml.SequenceNode):
            raise _nowhere(path)
        if not found.value:
            return _replaced(text, holder, found, _flow([value]))
        return _with_item(text, found, value)

    def expect(plain: Any, step: Step) -> None:
        plain[step].append(value)

    return _changed(text, path, change, expect)


def without(text: str, path: Path) -> str:
    """
    Return a document without the key or the item at a path.

    Raises:
        DocumentError: as for `with_value`.
    """

    def change(above: Sequence[yaml.Node], step: Step) -> str:
        *higher, holder = above
        if _child(holder, step) is None:
            raise _nowhere(path)
        if len(holder.value) > 1:
            return _without(text, holder, step)
        empty = "{}" if isinstance(holder, yaml.MappingNode) else "[]"
        if not higher:
            return _spliced(text, _begin(holder), _end(text, holder), empty)
        return _replaced(text, higher[-1], holder, empty)

    def expect(plain: Any, step: Step) -> None:
        del plain[step]

    return _changed(text, path, change, expect)


def plain_value(node: Node) -> Any:
    """Return a value of a document as plain dictionaries, lists and scalars."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Mapping):
        return {label: plain_value(pair.value) for label, pair in node.pairs.items()}
    return [plain_value(item) for item in node.items]


def _changed(
    text: str,
    path: Path,
    change: Callable[[Sequence[yaml.Node], Step], str],
    expect: Callable[[Any, Step], None],
) -> str:
    wanted = plain = plain_value(parse_tree(text, "", _WHAT))
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert root is not None  # noqa: S101 - it has just been read
    nodes = [root]
    *above, last = path
    for step in above:
        found = _child(nodes[-1], step)
        if found is None:
            raise _nowhere(path)
        nodes.append(found)
        plain = plain[step]
    new = change(nodes, last)
    expect(plain, last)
    try:
        is_so = plain_value(parse_tree(new, "", _WHAT)) == wanted
    except DocumentError:
        is_so = False
    if not is_so:
        msg = f"{_path_text(path)}: can't be changed alone here; change it in the text"
        raise DocumentError(msg)
    return new


def _nowhere(path: Path) -> DocumentError:
    return DocumentError(f"{_path_text(path)}: there is no such place in the document")


def _path_text(path: Path) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).lstrip(".")


def _child(node: yaml.Node | None, step: Step) -> yaml.Node | None:
    """Return the value of a key or an item; None: it is not written there."""
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        return node.value[step] if 0 <= step < len(node.value) else None
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    return None


def _flow(value: Any) -> str:
    """Write a value on one line."""
    text = yaml.safe_dump(
        value, default_flow_style=True, width=_FAR, allow_unicode=True, sort_keys=False
    )
    return str(text).removesuffix("...\n").rstrip("\n")


def _is_flow(node: yaml.Node) -> bool:
    return isinstance(node, yaml.CollectionNode) and bool(node.flow_style)


def _begin(node: yaml.Node) -> int:
    return int(node.start_mark.index)


def _end(text: str, node: yaml.Node) -> int:
    """Return where a value ends; PyYAML's end of a block is where the next token begins."""
    if isinstance(node, yaml.ScalarNode) or _is_flow(node) or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    if isinstance(last, tuple):
        key, value = last
        return max(_end(text, key), _end(text, value))
    return max(_begin(node), _end(text, last))


def _spliced(text: str, begin: int, end: int, new: str) -> str:
    return text[:begin] + new + text[end:]


def _replaced(text: str, holder: yaml.Node, node: yaml.Node, new: str) -> str:
    """Write something on one line in the place of a value."""
    begin, end = _begin(node), _end(text, node)
    if text[begin:end].endswith("\n"):
        # A text of several lines ends with its line.
        end -= 1
    pairs = holder.value if isinstance(holder, yaml.MappingNode) else ()
    key = next((each for each, value in pairs if value is node), None)
    if key is not None and node.start_mark.line > key.end_mark.line:
        # The value begins below its key: now it stands beside it, before a comment there.
        colon = text.index(":", key.end_mark.index) + 1
        begin_of_rest = text[colon : _line_end(text, colon)]
        return f"{text[:colon]} {new}{begin_of_rest}{text[end:]}"
    if begin == end and text[begin - 1 : begin] not in ("", " "):
        # Nothing is written after the colon or the dash.
        new = f" {new}"
    return _spliced(text, begin, end, new)


def _line_end(text: str, at: int) -> int:
    """Return the end of the line in which a position is, a comment included."""
    if text[at - 1 : at] == "\n":
        return at - 1
    found = text.find("\n", at)
    return len(text) if found < 0 else found


def _with_pair(
    text: str, holder: yaml.MappingNode, key: str, value: Any, order: Sequence[str]
) -> str:
    if _is_flow(holder) or not holder.value:
        pair = f"{_flow(key)}: {_flow(value)}"
        if not holder.value:
            return _spliced(text, _begin(holder), int(holder.end_mark.index), f"{{{pair}}}")
        return _with_more(text, holder, pair)
    ends = [max(_end(text, each) for each in pair) for pair in holder.value]
    index = _rank(holder, key, order)
    at = _line_end(text, ends[index])
    indent = " " * int(holder.start_mark.column)
    return _spliced(text, at, at, f"\n{indent}{_block(key, value, indent)}")


def _rank(holder: yaml.MappingNode, key: str, order: Sequence[str]) -> int:
    """Return the index of the pair after which a key usually stands; -1: at the end."""
    if key not in order:
        return -1
    earlier = set(order[: order.index(key)])
    found = [index for index, (each, _) in enumerate(holder.value) if each.value in earlier]
    return max(found, default=-1)


def _block(key: str, value: Any, indent: str) -> str:
    """Write a pair of a block; the items of a list have a line each."""
    if isinstance(value, list) and value:
        items = "".join(f"\n{indent}  - {_flow(item)}" for item in value)
        return f"{_flow(key)}:{items}"
    return f"{_flow(key)}: {_flow(value)}"


def _with_more(text: str, holder: yaml.Node, new: str) -> str:
    """Write something after the last part of a value in brackets."""
    last = holder.value[-1]
    parts = last if isinstance(last, tuple) else (last,)
    at = max(_end(text, part) for part in parts)
    return _spliced(text, at, at, f", {new}")


def _with_item(text: str, holder: yaml.SequenceNode, value: Any) -> str:
    if _is_flow(holder):
        return _with_more(text, holder, _flow(value))
    at = _line_end(text, _end(text, holder))
    indent = " " * int(holder.start_mark.column)
    return _spliced(text, at, at, f"\n{indent}- {_flow(value)}")


def _without(text: str, holder: yaml.Node, step: Step) -> str:
    """Remove one of several parts."""
    parts = [each if isinstance(each, tuple) else (each,) for each in holder.value]
    index = (
        step
        if isinstance(step, int)
        else next(i for i, part in enumerate(parts) if part[0].value == step)
    )
    begins = [_begin(part[0]) for part in parts]
    ends = [max(_end(text, each) for each in part) for part in parts]
    if _is_flow(holder):
        if index:
            return _spliced(text, ends[index - 1], ends[index], "")
        return _spliced(text, begins[0], begins[1], "")
    return _without_lines(text, holder, index, begins, ends)


def _without_lines(
    text: str, holder: yaml.Node, index: int, begins: Sequence[int], ends: Sequence[int]
) -> str:
    is_list = isinstance(holder, yaml.SequenceNode)
    line = text.rfind("\n", 0, begins[index]) + 1
    before = text[line : begins[index]]
    if before.strip() not in ("", "-" if is_list else ""):
        # It shares its line with the dash of the list that it is in: the next part moves up.
        return _spliced(text, begins[index], begins[index + 1], "")
    end = min(_line_end(text, ends[index]) + 1, len(text))
    return _spliced(text, line, end, "")
