"""A bar for work of which nobody knows beforehand whether it takes long."""

from __future__ import annotations

import importlib
import io
import sys
from typing import Any

import pytest

PROGRESS: Any = importlib.import_module("he_fsm.cli.output.progress")


class Terminal(io.StringIO):
    """A terminal's standard error."""

    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, late_s: float, *, is_long: bool = False) -> str:
    """Return what a terminal shows of work that is done at once."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(PROGRESS, "_LATE_S", late_s)
    monkeypatch.setenv("TERM", "xterm")
    with PROGRESS.late_bar("counting", is_long=is_long) as show:
        for step in range(5):
            show(step / 4)
    return terminal.getvalue()


def test_what_takes_no_time_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, 1e9) == ""


def test_what_takes_longer_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, 0.0)
    assert "counting" in text
    assert "100%" in text


def test_what_is_known_to_take_long_shows_that_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "counting" in shown(monkeypatch, 1e9, is_long=True)


def test_without_a_terminal_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stderr", plain)
    monkeypatch.setattr(PROGRESS, "_LATE_S", 0.0)
    with PROGRESS.late_bar("counting") as show:
        show(0.5)
    assert plain.getvalue() == ""
