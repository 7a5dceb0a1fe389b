from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Callable

import pytest

from he_fsm.states.diagram import FORMATS, diagram
from tests.cli.conftest import Ran

needs_dot = pytest.mark.skipif(
    shutil.which("dot") is None, reason="the program dot of Graphviz is not installed"
)
DRAWN = ["svg", "png"]


@pytest.mark.parametrize("form", FORMATS)
def test_text_is_printed(run: Callable[..., Ran], form: str) -> None:
    ran = run("diagram", "--format", form)
    assert (ran.status, ran.out) == (0, diagram(form))


def test_dot_is_what_is_drawn_where_nothing_else_is_asked_for(run: Callable[..., Ran]) -> None:
    assert run("diagram").out == diagram("dot")


@pytest.mark.parametrize("option", ["--output", "-o"])
def test_a_file_is_written_in_place_of_printing(
    run: Callable[..., Ran], tmp_path: Path, option: str
) -> None:
    path = tmp_path / "machine.mmd"
    ran = run("diagram", "--format", "mermaid", option, path)
    assert (ran.status, ran.out) == (0, "")
    assert path.read_text(encoding="utf-8") == diagram("mermaid")


def test_a_file_that_can_not_be_written_is_one_sentence(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "nowhere" / "machine.dot"
    assert refused("diagram", "-o", path) == f"can't write {path}: No such file or directory"


def test_a_format_that_there_is_not(run: Callable[..., Ran]) -> None:
    ran = run("diagram", "--format", "gif")
    assert ran.status == 2
    assert "'dot', 'mermaid', 'table', 'svg', 'png'" in ran.err


@pytest.mark.parametrize("form", DRAWN)
def test_without_the_package_it_says_what_to_install(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setitem(sys.modules, "graphviz", None)
    said = refused("diagram", "--format", form)
    assert said == "drawing needs the package graphviz: pip install 'he-fsm[diagram]'"


@pytest.mark.parametrize("form", DRAWN)
def test_without_the_program_it_says_what_to_install(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str
) -> None:
    pytest.importorskip("graphviz")
    monkeypatch.setenv("PATH", str(tmp_path))
    said = refused("diagram", "--format", form)
    assert said == "drawing needs the program dot: install the operating system's package graphviz"


@needs_dot
@pytest.mark.parametrize(("form", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_pictures(run: Callable[..., Ran], tmp_path: Path, form: str, begins: bytes) -> None:
    pytest.importorskip("graphviz")
    path = tmp_path / f"machine.{form}"
    assert run("diagram", "--format", form, "-o", path).status == 0
    assert path.read_bytes().startswith(begins)
