"""The help that is printed without click is the one that click would print."""

from __future__ import annotations

import sys

import pytest

from he_fsm.cli.entry import usage
from he_fsm.cli.main import _COMMANDS, cli, main


@pytest.mark.parametrize("columns", [20, 52, 60, 72, 80, 200])
def test_it_is_clicks_own(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    context = cli.make_context("he-fsm", [], resilient_parsing=True)
    lines = {name: line for name, (_, line) in _COMMANDS.items()}
    assert usage.usage(lines, usage.columns()) == cli.get_help(context) + "\n"


@pytest.mark.parametrize("arguments", [(), ("-h",), ("--help",)])
def test_it_is_printed_without_a_command(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["he-fsm", *arguments])
    main()
    assert capsys.readouterr().out.startswith("Usage: he-fsm [OPTIONS] COMMAND [ARGS]...\n")


@pytest.mark.parametrize("said", ["", "many", "-3", "0"])
def test_nonsense_for_a_width_is_no_width(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", said)
    assert usage.columns() > 0
