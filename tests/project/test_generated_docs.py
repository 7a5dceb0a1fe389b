"""Those parts of the documentation that the code can say are what it says: `make diagram`."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from he_fsm import TABLE, State

ROOT = Path(__file__).parents[2]
TOOL: dict[str, Any] = runpy.run_path(str(ROOT / "tools" / "generate-docs"))


@pytest.mark.parametrize("path", list(TOOL["documents"]()), ids=lambda path: str(path.name))
def test_a_generated_document_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == TOOL["documents"]()[path], "run `make diagram`"


def test_the_page_about_the_states_has_every_state_and_every_edge() -> None:
    page = TOOL["state_machine"]()
    for state, rows in TABLE.items():
        assert f"| `{state.value}` | {state.meaning} |" in page
        for row in rows:
            assert (
                f"| `{row.source.value}` | `{row.name}` | `{row.to.value}` | {row.says} |" in page
            )


def test_what_the_small_diagram_leaves_out_is_reached_from_everywhere() -> None:
    for hidden in (State.UNKNOWN, State.GLOBAL_MAINTENANCE):
        assert hidden.value in TOOL["_EVERYWHERE"]
        assert hidden.value not in TOOL["small_diagram"]()
        for state, rows in TABLE.items():
            assert state is hidden or hidden in {row.to for row in rows}


def test_a_page_without_the_part_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- generated: a -->\nold\n<!-- end: a -->\n", encoding="utf-8")
    assert TOOL["with_parts"](page, {"a": "new"}) == (
        "<!-- generated: a -->\n\nnew\n\n<!-- end: a -->\n"
    )
    with pytest.raises(ValueError, match=r"page\.md has no part between <!-- generated: b -->"):
        TOOL["with_parts"](page, {"b": "new"})
