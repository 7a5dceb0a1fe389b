"""How a precision and an estimator are written in a campaign's file."""

from __future__ import annotations

from typing import Any, Final

import attrs

from he_fsm.document.forms import Schema
from he_fsm.document.nodes import Node, as_scalar, describe, refusal
from he_fsm.document.units import parse_number

_WHAT: Final = "a part of the unavailability, from 0.1% to 100%, like 5%"
_LEAST: Final = 0.001

# By the first that fits: cycles where the faults allow that, else plain runs.
AUTO, CYCLES, PLAIN = "auto", "cycles", "plain"


@attrs.frozen
class PercentForm:
    """A part, as a percentage or a number: `5%`, `0.05`."""

    def read(self, node: Node, _context: Any) -> float:
        """Return the part as a number from 0 to 1."""
        text = as_scalar(node, _WHAT).text.strip()
        try:
            part = parse_number(text[:-1]) / 100 if text.endswith("%") else parse_number(text)
        except (ValueError, OverflowError):
            part = -1.0
        if not _LEAST <= part <= 1:
            raise refusal(node, f"expected {_WHAT}, got {describe(node)}")
        return part

    def schema(self) -> Schema:
        """Return the schema of a percentage, or of a number."""
        return {
            "anyOf": [
                {"type": "number", "minimum": _LEAST, "maximum": 1},
                {"type": "string", "pattern": r"^\s*[0-9.]+\s*%\s*$"},
            ]
        }
