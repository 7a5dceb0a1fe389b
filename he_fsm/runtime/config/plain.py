"""A configuration as plain values, and as a YAML text that says where each value came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import yaml

from he_fsm.document.mappings import written_fields
from he_fsm.policy import POLICIES, TALK, Policy

if TYPE_CHECKING:
    from he_fsm.runtime.config.settings import Config

# Where the comments stand, unless a value is longer.
_COMMENT_COLUMN: Final = 48


def plain(value: Any) -> Any:
    """Give a value of a configuration as it can stand in a file."""
    if isinstance(value, Policy):
        base = value.name if value.name in POLICIES else TALK.name
        return {"base": base, **attrs.asdict(value)}
    if attrs.has(type(value)):
        fields = written_fields(type(value)).items()
        return {each.key: plain(getattr(value, name)) for name, each in fields}
    if isinstance(value, Path):
        return str(value)
    return [plain(each) for each in value] if isinstance(value, tuple) else value


def annotated_yaml(config: Config) -> str:
    """Write a configuration as YAML; the comment after each value says where it came from."""
    lines = []
    for line, origin in _lines(config.to_plain(), config.origins, ""):
        lines.append(f"{line:<{_COMMENT_COLUMN}}  # {origin}" if origin else line)
    return "\n".join(lines) + "\n"


def _lines(
    values: Mapping[str, Any], origins: Mapping[str, str], above: str
) -> Iterator[tuple[str, str]]:
    """Give each line of a mapping, and the origin of the value that stands there, if one does."""
    indent = "  " * above.count(".")
    for key, value in values.items():
        if isinstance(value, dict):
            yield f"{indent}{key}:", ""
            yield from _lines(value, origins, f"{above}{key}.")
        else:
            yield f"{indent}{key}: {_flow(value)}", origins.get(f"{above}{key}", "default")


def _flow(value: object) -> str:
    """Write a value on one line."""
    text = _dumped(value, allow_unicode=True)
    # PyYAML writes some line breaks of Unicode as they are.
    return text if text.isprintable() else _dumped(value, allow_unicode=False)


def _dumped(value: object, *, allow_unicode: bool) -> str:
    text = yaml.safe_dump(
        value, default_flow_style=True, width=float("inf"), allow_unicode=allow_unicode
    )
    return text.removesuffix("...\n").rstrip("\n")
