"""
The optional build: plain Python unless it is asked for, and then what is named is compiled.

What its values promise is in test_values.py, for both builds.
"""

from __future__ import annotations

import importlib
import os
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BUILD: dict[str, Any] = runpy.run_path(str(ROOT / "setup.py"))


def test_what_is_to_be_compiled_is_there() -> None:
    for name in BUILD["COMPILED"]:
        assert (ROOT / "he_fsm" / f"{name.replace('.', '/')}.py").is_file()


def test_nothing_is_compiled_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HE_FSM_COMPILE", raising=False)
    assert BUILD["extensions"]() == []


@pytest.mark.parametrize("name", BUILD["COMPILED"])
def test_it_is_compiled_where_the_tests_say_so(name: str) -> None:
    path = importlib.import_module(f"he_fsm.{name}").__file__
    is_compiled = os.environ.get("HE_FSM_COMPILED") == "1"
    assert path is not None
    assert path.endswith(".so" if is_compiled else ".py")
