from __future__ import annotations

from he_fsm.metadata.record import ProblemWord
from he_fsm.runtime.agent.problem_lines import problem_lines

CRC, GARBAGE, SILENT = ProblemWord.CRC, ProblemWord.GARBAGE, ProblemWord.SILENT


def test_a_board_full_of_damage_is_a_line_for_each_kind() -> None:
    damaged = {slot: CRC if slot % 2 else GARBAGE for slot in range(1, 2001)}
    begun, over = problem_lines({}, damaged)
    assert len(begun) == 2
    assert not over
    assert begun[0].startswith("slots 1, 3, 5, ")
    assert begun[0].endswith(" and others, 1000 in all: crc")
    assert problem_lines(damaged, {}) == (
        [],
        [line.rsplit(":", 1)[0] + ": believed again" for line in begun],
    )


def test_only_what_changes_is_said() -> None:
    assert problem_lines({2: CRC, 3: CRC}, {2: CRC, 3: GARBAGE}) == (["slot 3: garbage"], [])
    assert problem_lines({2: CRC}, {2: CRC}) == ([], [])


def test_a_silent_host_is_no_damaged_slot() -> None:
    begun, _ = problem_lines({}, {2: SILENT})
    assert begun == ["silent, but the engine's lease is still renewed there: host 2"]
    assert problem_lines({2: SILENT}, {}) == ([], ["no longer silent: host 2"])
