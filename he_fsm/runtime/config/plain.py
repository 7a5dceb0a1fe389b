"""A configuration as plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from he_fsm.document.mappings import written_fields
from he_fsm.policy import POLICIES, TALK, Policy


def plain(value: Any) -> Any:
    """Return a value of a configuration as it can stand in a file."""
    if isinstance(value, Policy):
        base = value.name if value.name in POLICIES else TALK.name
        return {"base": base, **attrs.asdict(value)}
    if attrs.has(type(value)):
        fields = written_fields(type(value)).items()
        found = {each.key: plain(getattr(value, name)) for name, each in fields}
        # The sections that kinds have added, under the kinds' names.
        others = getattr(value, "others", {}).items()
        return {**found, **{name: plain(section) for name, section in others}}
    if isinstance(value, Path):
        return str(value)
    return [plain(each) for each in value] if isinstance(value, tuple) else value
