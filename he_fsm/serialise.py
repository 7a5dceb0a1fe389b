"""Memories and snapshots as plain objects and back, so that a run can be recorded and replayed."""

from __future__ import annotations

import functools
from typing import Any, Union

import cattrs

from he_fsm.memory import Memory, Sighting
from he_fsm.metadata.record import HostRecord, ProblemWord, SlotProblem
from he_fsm.snapshot import Snapshot


def to_plain(value: Union[Memory, Snapshot]) -> dict[str, Any]:
    """Give a memory or a snapshot as an object of plain values, fit for JSON."""
    return dict(_converter().unstructure(value))


def memory_from_plain(plain: dict[str, Any]) -> Memory:
    """
    Read a memory back; the same one that `to_plain` was given.

    Raises:
        cattrs.BaseValidationError: the object is of another form.
    """
    return _converter().structure(plain, Memory)


def snapshot_from_plain(plain: dict[str, Any]) -> Snapshot:
    """
    Read a snapshot back; the same one that `to_plain` was given.

    Raises:
        cattrs.BaseValidationError: the object is of another form.
    """
    return _converter().structure(plain, Snapshot)


@functools.cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    content = Union[HostRecord, SlotProblem]
    converter.register_structure_hook(content, lambda plain, _: _content(converter, plain))
    converter.register_structure_hook(Sighting, lambda plain, _: _sighting(converter, plain))
    converter.register_unstructure_hook(
        Sighting,
        lambda seen: {name: converter.unstructure(value) for name, value in seen._asdict().items()},
    )
    # JSON has no sets.
    converter.register_unstructure_hook_func(
        lambda kind: getattr(kind, "__origin__", kind) is frozenset, sorted
    )
    return converter


def _content(converter: cattrs.Converter, plain: Any) -> Union[HostRecord, SlotProblem, None]:
    """Read a slot: a problem has a word, a record has a score."""
    if plain is None:
        return None
    if "word" in plain:
        return converter.structure(plain, SlotProblem)
    return converter.structure(plain, HostRecord)


def _sighting(converter: cattrs.Converter, plain: dict[str, Any]) -> Sighting:
    record, problem = plain["record"], plain["problem"]
    return Sighting(
        **{
            **plain,
            "content": _content(converter, plain["content"]),
            "record": None if record is None else converter.structure(record, HostRecord),
            "problem": None if problem is None else ProblemWord(problem),
        }
    )
