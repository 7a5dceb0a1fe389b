"""What the page begins with: the live cluster as a scenario file, or an example."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from he_fsm.document.spans import without
from he_fsm.live.seen import Seen
from he_fsm.scenario.language.writing import scenarios_text

EXAMPLE: Final = Path(__file__).parent / "page" / "example.yaml"


def live_text(cluster: Seen) -> str:
    """
    Return the live cluster as a scenario file, to which faults can be added.

    Played with a fault, it shows what `he-fsm what-if` predicts: the end of the run is left out,
    so that it follows from the faults there as well.
    """
    return without(scenarios_text([cluster.scenario()]), ("scenarios", 0, "until"))


def example_text() -> str:
    """Return the scenario file that the page shows where there is no cluster."""
    return EXAMPLE.read_text(encoding="utf-8")
