"""The house stays one in which a thing is found by its name: how large its parts may be."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.conftest import WITH_PROCESSES, WITHOUT

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "he_fsm"
TESTS = ROOT / "tests"
LINES_MAX = 400
FILES_MAX = 24
# The daemons are what most people read.
RUNTIME_FILES_MAX = 12


def test_no_module_is_too_long() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert [path for path, lines in lengths.items() if lines > LINES_MAX] == []


def test_no_folder_is_too_full() -> None:
    counted = Counter(path.parent for root in (PACKAGE, TESTS) for path in root.rglob("*.py"))
    runtime = PACKAGE / "runtime"
    too_full = [
        folder
        for folder, files in counted.items()
        if files > (RUNTIME_FILES_MAX if runtime in (folder, *folder.parents) else FILES_MAX)
    ]
    assert too_full == []


def test_the_lists_of_tests_with_processes_name_what_is_there() -> None:
    named = [path for path in (*WITH_PROCESSES, *WITHOUT) if not (TESTS / path).exists()]
    assert named == []
