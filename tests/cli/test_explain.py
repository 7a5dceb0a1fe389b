from __future__ import annotations

from typing import Callable

import pytest

from he_fsm.states.names import State
from he_fsm.states.table import TABLE
from tests.cli.conftest import Ran


def test_all_states_with_all_their_edges_in_the_order_in_which_they_are_tried(
    run: Callable[..., Ran],
) -> None:
    ran = run("explain")
    assert ran.status == 0
    blocks = ran.out.rstrip("\n").split("\n\n")
    assert [block.partition(":")[0] for block in blocks] == [state.value for state in State]
    for state, block in zip(State, blocks):
        title, *lines = block.split("\n")
        assert title == f"{state.value}: {state.meaning}"
        for row in TABLE[state]:
            assert any(row.to.value in line and row.says in line for line in lines), row.label


@pytest.mark.parametrize("word", ["EngineUp", "engineup", "ENGINEUP"])
def test_one_state(run: Callable[..., Ran], word: str) -> None:
    ran = run("explain", "--state", word)
    assert ran.status == 0
    assert ran.out.startswith("EngineUp: ")
    assert "\n\n" not in ran.out
    assert ran.out in run("explain").out


def test_a_state_that_there_is_not(run: Callable[..., Ran]) -> None:
    ran = run("explain", "--state", "EngineSideways")
    assert (ran.status, ran.out) == (2, "")
    assert "EngineDown" in ran.err
