"""What the vdsm of a lab does wrong, for tests and rehearsals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Optional

import attrs

from he_fsm.runtime.vdsm.interface import Json

_UNKNOWN: Final = {"unknownOfALaterVersion": {"a": [1, None, "x"]}}


@attrs.define
class Faults:
    """
    Faults of one server; any thread may change a field at any time, and what follows goes by it.

    A call that was begun before goes by what is so when its answer is sent.
    """

    # Which verbs `is_stuck`, `is_silent` and `delay_s` are about; None: all.
    methods: Optional[frozenset[str]] = None
    # A verb is not carried out, and never answered.
    is_stuck: bool = False
    # A verb is carried out, and never answered.
    is_silent: bool = False
    # An answer comes so much later (seconds).
    delay_s: float = 0.0
    # Every verb is answered with code 99, as while vdsm starts.
    is_recovering: bool = False
    # An answer is an array of one.
    has_arrays: bool = False
    # Answers and events have fields that nobody knows.
    has_unknown_fields: bool = False
    # No heart-beat is sent, whatever was agreed.
    has_no_heartbeats: bool = False
    # Nothing is read and nothing sent, and the connections stay: they are half open.
    is_deaf: bool = False

    def are_about(self, method: str) -> bool:
        """Whether the faults of single verbs are about this one."""
        return self.methods is None or method in self.methods


def with_unknown_fields(said: Mapping[str, Json]) -> dict[str, Json]:
    """Return an answer or event with fields of a later version, in it and in what it reports."""
    return {**{key: _extended(value) for key, value in said.items()}, **_UNKNOWN}


def _extended(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {**value, **_UNKNOWN}
    return [_extended(each) for each in value] if isinstance(value, list) else value
