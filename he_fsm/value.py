"""
The base of values that are made with every look.

attrs takes twice as long to make a frozen object as a plain `__init__` does, and of an attrs class
or a named tuple mypyc makes no native one. A class of this kind says what it consists of in
`__slots__`, and takes it in `__init__` under the same names:

    class Liveness(Value):
        __slots__ = ("alive", "pending")

        def __init__(self, alive: frozenset[int], pending: frozenset[int]) -> None:
            self.alive: Final = alive
            self.pending: Final = pending

`Final` lets mypy refuse whoever changes a value. All that is made less often is an attrs class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any, ClassVar, TypeVar

import attrs

_Value = TypeVar("_Value", bound="Value")


class Value:
    """A value of several parts: it is compared, shown, copied with changes and pickled by them."""

    __slots__ = ()
    # Parts that are not compared and not shown.
    _unseen: ClassVar[frozenset[str]] = frozenset()
    # The names of the parts as `__init__` takes them, and what returns the parts.
    _fields: ClassVar[tuple[str, ...]] = ()
    _parts_of: ClassVar[attrgetter[Any]] = attrgetter("_fields")
    # The same for the parts that are compared, and the form in which they are shown.
    _seen_of: ClassVar[attrgetter[Any]] = attrgetter("_fields")
    _shown: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        """Note the parts' names, for `attrs.evolve` and `attrs.asdict` as well."""
        made: Any = cls
        names = made.__dict__.get("__mypyc_attrs__")
        if names is None:
            code = made.__init__.__code__
            names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
        made._fields = names
        seen = [name for name in names if name not in made._unseen]  # noqa: SLF001 - its own
        made._parts_of = _getter(names)  # noqa: SLF001
        made._seen_of = _getter(seen)  # noqa: SLF001
        shown = ", ".join(f"{name}={{{index}!r}}" for index, name in enumerate(seen))
        made._shown = f"{cls.__name__}({shown})"  # noqa: SLF001
        known = attrs.make_class(cls.__name__, list(names), init=False, repr=False, eq=False)
        made.__attrs_attrs__ = attrs.fields(known)

    def __eq__(self, other: object) -> bool:
        """Whether the other is of the same type, and so are all parts equal."""
        if self is other:
            return True
        if type(self) is not type(other):
            return NotImplemented
        return bool(self._seen_of(self) == self._seen_of(other))

    def __ne__(self, other: object) -> bool:
        """Return the opposite. mypyc makes none for a class that it meets before this one."""
        return not self == other

    def __hash__(self) -> int:
        """Return what equal values have in common; not all parts can be hashed."""
        return hash(self._seen_of(self))

    def __repr__(self) -> str:
        """Show the parts by name."""
        return self._shown.format(*self._seen_of(self))

    def __iter__(self) -> Iterator[Any]:
        """Return the parts, so that a value can be taken apart."""
        return iter(self._parts_of(self)[: len(self._fields)])

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by making the value again."""
        return (_make, (type(self), *self._parts_of(self)))

    def _asdict(self) -> dict[str, Any]:
        """Return the parts by name."""
        return dict(zip(self._fields, self._parts_of(self)))

    def _replace(self: _Value, **changes: Any) -> _Value:  # noqa: PYI019 - no `Self` in Python 3.9
        """Return the same value with other parts."""
        return type(self)(**{**self._asdict(), **changes})


def _getter(names: Sequence[str]) -> attrgetter[Any]:
    """Return what returns the parts with these names as a tuple: of a single one, twice."""
    return attrgetter(*names) if len(names) > 1 else attrgetter(*names, *names)


def _make(kind: type[Value], *parts: Any) -> Value:
    """Make a value that was pickled or copied."""
    made: Any = kind
    value: Value = made(**dict(zip(made._fields, parts)))
    return value
