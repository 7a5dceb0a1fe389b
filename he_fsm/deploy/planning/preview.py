"""The table that is shown before anything is done."""

from __future__ import annotations

from typing import Final

from he_fsm.deploy.asking.answers import text_of
from he_fsm.deploy.asking.question import Values
from he_fsm.deploy.asking.questions import QUESTIONS

_WIDTH: Final = 35
HEADING: Final = "--== CONFIGURATION PREVIEW ==--"


def preview(values: Values, host_id: int) -> tuple[str, ...]:
    """Return the lines of the table; no password is among them."""
    rows = [
        (question.label, text_of(values[question.key]))
        for question in QUESTIONS
        if question.label and not question.is_secret and values.get(question.key, "") != ""
    ]
    return tuple(
        f"{label:{_WIDTH}}: {value}" for label, value in [*rows, ("Host ID", str(host_id))]
    )
