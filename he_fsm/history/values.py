"""
How a value differs from the one before, as plain objects fit for JSON, and the value again.

Most of what a host sees and remembers stays as it was from look to look, and much of it is the same
object. So only the parts that changed are written:

- a number, a text, a flag, null: this is the value now (an enum's value stands for it);
- an object: these parts of the value, or these keys of the mapping, have changed, each in one of
  these ways;
- a list with one item: the value is a new one, written in full;
- an empty list, in a mapping: this key is gone.

The text for people in a host's record is not kept: no decision reads it.
"""

from __future__ import annotations

import enum
import functools
import typing
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Callable, Final, NamedTuple, Optional, Union

import attrs

from he_fsm.metadata.record import HostRecord
from he_fsm.serialise import PARTS

# What `changed` returns where nothing has changed; no value is written so.
SAME: Final = object()
_SCALARS: Final = (bool, int, float, str, type(None))
_NOT_KEPT: Final = {HostRecord: frozenset({"text"})}

Reader = Callable[[Any], Any]


class _Kind(NamedTuple):
    """What a value of one class consists of; `parts_of` returns the parts in this order."""

    names: tuple[str, ...]
    parts_of: Callable[[Any], tuple[Any, ...]]


def changed(before: Any, after: Any) -> Any:
    """Return how a value differs from the one before; `SAME`: it does not."""
    if before is after:
        return SAME
    kind: Any = type(after)
    if kind is not type(before):
        return _new(after)
    if kind in PARTS:
        names, parts_of = _kind(kind)
        patch = {}
        for name, old, new in zip(names, parts_of(before), parts_of(after)):
            if old is not new:
                part = changed(old, new)
                if part is not SAME:
                    patch[name] = part
        return patch or SAME
    if isinstance(after, Mapping):
        return _changed_keys(before, after) or SAME
    return SAME if before == after else _new(after)


def _changed_keys(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {}
    for key, new in after.items():
        part = changed(before[key], new) if key in before else [full(new)]
        if part is not SAME:
            patch[str(key)] = part
    for key in before:
        if key not in after:
            patch[str(key)] = []
    return patch


def _new(value: Any) -> Any:
    plain = full(value)
    return [plain] if isinstance(plain, (dict, list)) else plain


def full(value: Any) -> Any:
    """Return a whole value as plain objects."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, _SCALARS):
        return value
    kind: Any = type(value)
    if kind in PARTS:
        names, parts_of = _kind(kind)
        return {name: full(part) for name, part in zip(names, parts_of(value))}
    if isinstance(value, Mapping):
        return {str(key): full(each) for key, each in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    return [full(each) for each in value]


def patched(before: Any, patch: Any, kind: Any) -> Any:
    """
    Return the value that differs so from the one before.

    Args:
        before: the value before.
        patch: what `changed` returned.
        kind: the type of the value, as the parts of a class are annotated.

    Raises:
        ValueError: nothing of this form was written for this type.
        TypeError: as above.
    """
    if isinstance(patch, list):
        (plain,) = patch
        return made(plain, kind)
    if not isinstance(patch, dict):
        return made(patch, kind)
    if isinstance(before, Mapping):
        return _patched_keys(before, patch, kind)
    type_: Any = type(before)
    if type_ not in PARTS:
        msg = f"parts of a {type_.__name__}, which has none"
        raise ValueError(msg)
    names, parts_of = _kind(type_)
    readers = _hints(type_)
    parts = dict(zip(names, parts_of(before)))
    for name, part in patch.items():
        if name in readers:
            parts[name] = patched(parts[name], part, readers[name])
    return type_(**parts)


def _patched_keys(before: Mapping[Any, Any], patch: dict[str, Any], kind: Any) -> dict[int, Any]:
    of_keys = _only(kind)
    _, value_kind = typing.get_args(of_keys)
    keys = dict(before)
    for text, part in patch.items():
        key = int(text)
        if part == []:
            keys.pop(key, None)
        else:
            keys[key] = patched(keys.get(key), part, value_kind)
    return keys


def made(plain: Any, kind: Any) -> Any:
    """
    Return a whole value of its plain objects; what a later release has added is left out.

    Raises:
        ValueError: the plain objects are not of this type.
        TypeError: as above.
    """
    return _reader(kind)(plain)


@functools.cache
def _reader(kind: Any) -> Reader:
    """Return what makes a value of a type of its plain objects."""
    if typing.get_origin(kind) is Union:
        return _reader_of_union(typing.get_args(kind))
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is None:
        return _reader_of_class(kind)
    if issubclass(origin, tuple):
        each = _reader(arguments[0])
        return lambda plain: tuple(map(each, _checked(plain, list)))
    if issubclass(origin, frozenset):
        each = _reader(arguments[0])
        return lambda plain: frozenset(map(each, _checked(plain, list)))
    value = _reader(arguments[1])
    return lambda plain: {int(key): value(each) for key, each in _checked(plain, dict).items()}


def _reader_of_class(kind: Any) -> Reader:
    if kind in PARTS:
        return functools.partial(_made, kind)
    if issubclass(kind, enum.Enum):
        of_enum: Reader = kind
        return of_enum
    types = (int, float) if kind is float else (kind,)

    def scalar(plain: Any) -> Any:
        if type(plain) not in types:
            msg = f"expected {kind.__name__}, got {plain!r}"
            raise ValueError(msg)
        return plain

    return scalar


def _reader_of_union(kinds: tuple[Any, ...]) -> Reader:
    """A value of several types: none is null, a slot's problem has a word, its record a score."""
    others = [_reader(each) for each in kinds if each is not type(None)]
    may_be_none = type(None) in kinds
    by_word = {
        "word" in PARTS[each].__annotations__: _reader(each) for each in kinds if each in PARTS
    }

    def read(plain: Any) -> Any:
        if plain is None and may_be_none:
            return None
        if len(others) == 1:
            return others[0](plain)
        return by_word["word" in _checked(plain, dict)](plain)

    return read


def _made(kind: Any, plain: Any) -> Any:
    hints = _hints(kind)
    parts = {
        name: _reader(hints[name])(part)
        for name, part in _checked(plain, dict).items()
        if name in hints
    }
    return kind(**parts)


def _checked(plain: Any, kind: type) -> Any:
    if not isinstance(plain, kind):
        msg = f"expected a {kind.__name__}, got {type(plain).__name__}"
        raise TypeError(msg)
    return plain


_KINDS: Final[dict[Any, _Kind]] = {}


def _kind(kind: Any) -> _Kind:
    found = _KINDS.get(kind)
    if found is None:
        found = _KINDS[kind] = _kind_of(kind)
    return found


def _kind_of(kind: Any) -> _Kind:
    without = _NOT_KEPT.get(kind, frozenset())
    fields = attrs.fields_dict(kind) if attrs.has(kind) else kind._fields
    names = tuple(name for name in fields if name not in without)
    getter = attrgetter(*names)
    return _Kind(names, getter if len(names) > 1 else lambda value: (getter(value),))


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(PARTS[kind])


def _only(kind: Any) -> Any:
    """Return a type without its None."""
    if typing.get_origin(kind) is not Union:
        return kind
    found: list[Optional[Any]] = [each for each in typing.get_args(kind) if each is not type(None)]
    return found[0]
