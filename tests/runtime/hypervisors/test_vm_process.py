from __future__ import annotations

import json
from pathlib import Path

import pytest

from he_fsm.runtime.hypervisors.vm_process import REPORT, why_not_started
from he_fsm.snapshot import Outcome


@pytest.mark.parametrize(
    ("report", "outcome"),
    [
        ({"lease": "taken"}, Outcome.START_FAILED),
        ({"lease": "held", "owner": 2, "free_in": None}, Outcome.START_REFUSED),
        ({"lease": "error", "detail": "no daemon"}, Outcome.START_REFUSED),
        # It has said nothing: it was still waiting for the lease of an owner that is dying.
        (None, Outcome.START_REFUSED),
    ],
)
def test_only_a_vm_that_had_the_lease_has_failed_to_start(
    tmp_path: Path, report: object, outcome: Outcome
) -> None:
    (tmp_path / REPORT).write_text("" if report is None else json.dumps(report))
    assert why_not_started(tmp_path).outcome is outcome
