"""A configuration as a YAML text that says where each value came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from he_fsm.runtime.config.settings import Config

# Where the comments stand, unless a value is longer.
_COMMENT_COLUMN: Final = 48


def annotated_yaml(config: Config) -> str:
    """Write a configuration as YAML; the comment after each value says where it came from."""
    lines = []
    for line, origin in _lines(config.to_plain(), config.origins, ""):
        lines.append(f"{line:<{_COMMENT_COLUMN}}  # {origin}" if origin else line)
    return "\n".join(lines) + "\n"


def _lines(
    values: Mapping[str, Any], origins: Mapping[str, str], above: str
) -> Iterator[tuple[str, str]]:
    """Return each line of a mapping, and the origin of the value that stands there, if one does."""
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
