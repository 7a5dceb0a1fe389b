"""A docstring says what is done in a plain verb."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("he_fsm", "benchmarks", "tests", "tools", "examples")
# They say neither what a function returns nor what it does.
VAGUE = re.compile(r"(Give|Let)s?\b")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def test_no_docstring_begins_with_a_vague_verb() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {text.splitlines()[0]}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, DOCUMENTED)
        for text in [ast.get_docstring(node) or ""]
        if VAGUE.match(text)
    ]
    assert found == []
