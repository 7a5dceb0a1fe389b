"""What the playground's worker calls: a scenario file as text, and what a run of it shows."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any, Optional

from he_fsm import HeFsmError, parse_scenarios, simulate
from he_fsm.cli.output.timeline import print_outcomes
from he_fsm.report.html import as_html
from he_fsm.report.notebook import outcome_html  # noqa: F401 - registers the picture

FILE = "scenario.yaml"


def play(text: str, seed: Optional[int] = None) -> str:
    """
    Play a scenario file, and return a JSON object.

    `output`: what `he-fsm simulate` prints. `result`: what its `--json` prints. `pictures`: each
    scenario's, as HTML without scripts. Where the file can't be used: `error` alone, a sentence
    with line and column.
    """
    try:
        outcomes = [simulate(each, seed=seed) for each in parse_scenarios(text, FILE)]
    except HeFsmError as error:
        return json.dumps({"error": str(error)})
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        print_outcomes(outcomes)
    result: dict[str, Any] = {
        "passed": all(outcome.passed for outcome in outcomes),
        "scenarios": [outcome.to_json() for outcome in outcomes],
    }
    pictures = [as_html(outcome) for outcome in outcomes]
    return json.dumps({"output": printed.getvalue(), "result": result, "pictures": pictures})
