"""Every order of events around an orderly shutdown, whatever the policy does with the engine."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from he_fsm import TALK
from tests.check.exploring import broken, explored


@pytest.mark.parametrize("how", ["migrate", "stop", "freeze"])
def test_a_shutdown_breaks_nothing(how: Any) -> None:
    policy = attrs.evolve(TALK, on_shutdown=how)
    found = explored("leave", "deaf", "crash", "migration", faults=2, policy=policy)
    assert found.is_whole
    assert broken(found) == set()
    assert ("EngineUp", "shutdown") in found.edges
