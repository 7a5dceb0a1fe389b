"""What a slider or a dragged fault changes in a scenario file, and nothing else of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Union

import attrs

from he_fsm.document.nodes import Node, Scalar, parse_tree, refused_as
from he_fsm.document.nodes import Sequence as Items
from he_fsm.document.spans import with_item, with_value, without
from he_fsm.errors import DocumentError, HeFsmError, ScenarioError
from he_fsm.scenario.language.reading import SCENARIO_FORMS

Step = Union[str, int]
# In which order the keys of a scenario usually stand.
_ORDER: Final = tuple(SCENARIO_FORMS)
# One or the other says which hosts a fault strikes.
_HOST_KEYS: Final[Mapping[Step, str]] = {"host": "hosts", "hosts": "host"}
_STEPS_MAX: Final = 6
_EDITS_MAX: Final = 200
_DEPTH_MAX: Final = 4
_TEXT_MAX: Final = 10_000


class EditError(HeFsmError):
    """An edit that the page sent is none that this release knows."""


@attrs.frozen(kw_only=True)
class Edit:
    """
    One change of a scenario.

    `do`: `set` (a value, or a new key), `unset` (a key), `add` (an item of a list, at its end) or
    `remove` (an item). `path`: from the scenario on, like ("timeline", 2, "at").
    """

    do: str
    path: tuple[Step, ...]
    value: Any = None


def read_edits(plain: object) -> tuple[Edit, ...]:
    """
    Read the edits that a page sends.

    Raises:
        EditError: they are none.
    """
    if not isinstance(plain, list) or len(plain) > _EDITS_MAX:
        msg = f"edits: expected a list of at most {_EDITS_MAX} edits"
        raise EditError(msg)
    return tuple(_read(index, each) for index, each in enumerate(plain))


def _read(index: int, plain: object) -> Edit:
    where = f"edits[{index}]"
    if not isinstance(plain, dict) or not {"do", "path"} <= set(plain) <= {"do", "path", "value"}:
        msg = f'{where}: expected {{"do": ..., "path": [...], "value": ...}}'
        raise EditError(msg)
    do, path, value = plain["do"], plain["path"], plain.get("value")
    if do not in _DEEDS:
        msg = f"{where}.do: expected one of {', '.join(_DEEDS)}"
        raise EditError(msg)
    is_path = isinstance(path, list) and 1 <= len(path) <= _STEPS_MAX and all(map(_is_step, path))
    if not is_path:
        msg = f"{where}.path: expected 1 to {_STEPS_MAX} keys or indices"
        raise EditError(msg)
    if path[0] not in SCENARIO_FORMS:
        msg = f"{where}.path: a scenario has the keys {', '.join(SCENARIO_FORMS)}"
        raise EditError(msg)
    if not _is_plain(value, _DEPTH_MAX):
        msg = f"{where}.value: expected numbers, texts, flags, and small lists and mappings of them"
        raise EditError(msg)
    return Edit(do=do, path=tuple(path), value=value)


def _is_step(step: object) -> bool:
    if isinstance(step, str):
        return 0 < len(step) <= 100
    return isinstance(step, int) and not isinstance(step, bool) and 0 <= step < 100_000


def _is_plain(value: object, depth: int) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return len(value) <= _TEXT_MAX
    if value is None or isinstance(value, int):
        return True
    if not depth:
        return False
    if isinstance(value, list):
        return len(value) <= 2000 and all(_is_plain(each, depth - 1) for each in value)
    return isinstance(value, dict) and all(
        isinstance(key, str) and _is_plain(each, depth - 1) for key, each in value.items()
    )


def edited(text: str, scenario: int, edits: Sequence[Edit], file_name: str = "") -> str:
    """
    Return a scenario file with some edits of one of its scenarios.

    Args:
        scenario: the index of the scenario in the file.
        edits: are made one after the other, so an index counts what the ones before have left.

    Raises:
        ScenarioError: the file can't be read, or an edit can't be made in it.
    """
    for edit in edits:
        with refused_as(ScenarioError):
            root = parse_tree(text, file_name, "a scenario file")
            text = _DEEDS[edit.do](_Made(text, root, ("scenarios", scenario)), edit)
    return text


@attrs.frozen
class _Made:
    """A file, what it holds, and the path of the scenario that is changed."""

    text: str
    root: Node
    base: tuple[Step, ...]

    def found(self, path: Sequence[Step]) -> Node | None:
        """Return what stands at a path of the scenario; None: nothing, or null."""
        node: Node | None = self.root
        for step in (*self.base, *path):
            if isinstance(node, Items) and isinstance(step, int):
                node = node.items[step] if step < len(node.items) else None
            elif isinstance(node, (Items, Scalar)) or node is None:
                return None
            else:
                node = node.get(str(step))
        return None if isinstance(node, Scalar) and node.value is None else node


def _set(made: _Made, edit: Edit) -> str:
    path, value = _as_written(made, edit.path), edit.value
    if path[0] == "hosts" and len(path) > 1:
        made = _with_listed_hosts(made)
    parent = path[:-1]
    if parent == ("policy",) and isinstance(made.found(parent), Scalar):
        # The name of a policy becomes what the mapping is based on.
        return _written(made, parent, {"base": _text_at(made, parent), str(path[-1]): value})
    # What does not stand there yet is written with all that is missing above.
    while parent and made.found(parent) is None:
        value, path, parent = {path[-1]: value}, parent, parent[:-1]
    return _written(made, path, value)


def _written(made: _Made, path: Sequence[Step], value: Any) -> str:
    return with_value(made.text, (*made.base, *path), value, order=_ORDER)


def _text_at(made: _Made, path: Sequence[Step]) -> str:
    found = made.found(path)
    return found.text if isinstance(found, Scalar) else ""


def _with_listed_hosts(made: _Made) -> _Made:
    """Write out hosts that are a number in the file, so that one of them can differ."""
    hosts = made.found(("hosts",))
    if not isinstance(hosts, Scalar) or not isinstance(hosts.value, int):
        return made
    listed = [{"id": number} for number in range(1, hosts.value + 1)]
    return _reread(made, _written(made, ("hosts",), listed))


def _as_written(made: _Made, path: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return a path with the one of `host` and `hosts` that the file has: they mean the same."""
    other = _HOST_KEYS.get(path[-1])
    if other is not None and len(path) > 1 and made.found((*path[:-1], other)) is not None:
        return (*path[:-1], other)
    return path


def _unset(made: _Made, edit: Edit) -> str:
    return without(made.text, (*made.base, *_as_written(made, edit.path)))


def _add(made: _Made, edit: Edit) -> str:
    if edit.path == ("hosts",):
        made = _with_listed_hosts(made)
    found = made.found(edit.path)
    if found is None or (isinstance(found, Items) and not found.items):
        if isinstance(found, Items):
            made = _reread(made, without(made.text, (*made.base, *edit.path)))
        return _written(made, edit.path, [edit.value])
    return with_item(made.text, (*made.base, *edit.path), edit.value)


def _reread(made: _Made, text: str) -> _Made:
    return _Made(text, parse_tree(text, "", "a scenario file"), made.base)


def _remove(made: _Made, edit: Edit) -> str:
    path = edit.path
    if path[0] == "hosts":
        made = _with_listed_hosts(made)
    holder = made.found(path[:-1])
    if not isinstance(holder, Items) or not isinstance(path[-1], int):
        msg = f"{'.'.join(map(str, path))}: no item of a list"
        raise DocumentError(msg)
    if len(holder.items) == 1 and path[:-1] == ("timeline",):
        return without(made.text, (*made.base, "timeline"))
    return without(made.text, (*made.base, *path))


_DEEDS: Final[Mapping[str, Callable[[_Made, Edit], str]]] = {
    "set": _set,
    "unset": _unset,
    "add": _add,
    "remove": _remove,
}
