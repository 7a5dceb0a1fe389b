"""The daemons use the paths of their configuration, and no other storage of the host."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "he_fsm"
# What asks a mounted file system for more than its place in the kernel's list of mounts: each of
# these waits for ever for a server that is gone.
ASKING = {"disk_partitions", "disk_usage", "statvfs", "fstatvfs", "ismount"}


def asked(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in ASKING:
            yield node.attr


def test_lesson_b13_no_daemon_looks_at_storage_that_it_was_not_told_of() -> None:
    found = {path: list(asked(path)) for path in (PACKAGE / "runtime").rglob("*.py")}
    assert {path: names for path, names in found.items() if names} == {}


def test_a_module_that_does_is_found() -> None:
    assert list(asked(PACKAGE / "deploy" / "carrying" / "storage.py"))
