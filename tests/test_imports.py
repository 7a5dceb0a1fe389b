"""Which way the arrows point: what each part of the package may import, read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "he_fsm"

# Each layer, and the layers that it may import. The core: the modules at the top, states, metadata.
MAY_IMPORT = {
    "core": {"core"},
    "document": {"document"},
    "scenario": {"core", "document", "scenario"},
    "report": {"core", "document", "scenario", "report"},
    "simulate": {"core", "document", "scenario", "report", "simulate"},
    "check": {"core", "document", "scenario", "report", "simulate", "check"},
    "campaign": {"core", "document", "scenario", "report", "simulate", "campaign"},
    "runtime": {"core", "document", "runtime"},
    "rehearse": {"core", "document", "scenario", "report", "runtime", "rehearse"},
    "deploy": {"core", "runtime", "deploy"},
    "cli": {
        *("core", "document", "scenario", "report", "simulate", "check", "campaign"),
        *("runtime", "rehearse", "deploy", "cli"),
    },
}
# Documents know nothing of what they are about.
OF_DOCUMENTS = {
    *("__future__", "collections", "contextlib", "difflib", "math", "operator", "pathlib", "re"),
    *("typing", "attrs", "yaml"),
}
DOCUMENTS_NEED = {"he_fsm.errors"}
PURE_FOLDERS = {"states", "metadata"}
# Modules of the standard library in which nothing reads, writes, waits or draws lots.
PURE = {
    *("__future__", "calendar", "collections.abc", "datetime", "enum", "functools", "json"),
    *("math", "re", "types", "typing", "zlib"),
}
# Libraries without I/O that one module each of the core stands on.
LIBRARY_OF = {"machine.py": {"transitions"}, "serialise.py": {"cattrs"}}
FOR_PEOPLE = {"click", "rich"}
# Calls by which even a pure module could read a clock or touch the world.
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
CLOCKS = {"now", "today", "utcnow"}


class Import(NamedTuple):
    """One imported module, and the line where that stands."""

    module: str
    line: int


def source_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def layer_of(module: str) -> str:
    """Give the layer of a module of the package, by its dotted name."""
    _, _, rest = module.partition(".")
    folder = rest.partition(".")[0]
    if folder in PURE_FOLDERS or not (PACKAGE / folder).is_dir() or not folder:
        return "core"
    return folder


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(source: str) -> Iterator[Import]:
    """Give every import of a source text, those inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                # `from he_fsm import tick` imports a module too.
                is_module = (ROOT / base.replace(".", "/") / f"{alias.name}.py").is_file()
                yield Import(f"{base}.{alias.name}" if is_module else base, node.lineno)


def imports_of(path: Path) -> list[Import]:
    return list(imports(path.read_text(encoding="utf-8")))


def own(found: Import) -> bool:
    return found.module == "he_fsm" or found.module.startswith("he_fsm.")


each_file = pytest.mark.parametrize(
    "path", source_files(), ids=[str(path.relative_to(PACKAGE)) for path in source_files()]
)
each_core_file = pytest.mark.parametrize(
    "path",
    [path for path in source_files() if layer_of(module_name(path)) == "core"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
PUBLIC_NAMES = PACKAGE / "__init__.py"


@each_file
def test_every_folder_is_a_layer_that_this_test_knows(path: Path) -> None:
    assert layer_of(module_name(path)) in MAY_IMPORT


@each_file
def test_imports_of_the_package_point_one_way(path: Path) -> None:
    if path == PUBLIC_NAMES:
        return
    layer = layer_of(module_name(path))
    also = DOCUMENTS_NEED if layer == "document" else set()
    wrong = [
        found
        for found in imports_of(path)
        if own(found)
        and found.module not in {"he_fsm", *also}
        and layer_of(found.module) not in MAY_IMPORT[layer]
    ]
    assert wrong == []


@each_file
def test_only_the_commands_import_the_whole_package(path: Path) -> None:
    """The public names lead to every layer: importing them goes around the arrows."""
    if layer_of(module_name(path)) == "cli":
        return
    assert [found for found in imports_of(path) if found.module == "he_fsm"] == []


@each_file
def test_imports_are_written_in_full(path: Path) -> None:
    assert [found for found in imports_of(path) if found.module.startswith(".")] == []


@each_file
def test_only_the_commands_import_libraries_for_the_terminal(path: Path) -> None:
    if layer_of(module_name(path)) == "cli":
        return
    names = {found.module.partition(".")[0] for found in imports_of(path)}
    assert not names & FOR_PEOPLE


@pytest.mark.parametrize("path", sorted((PACKAGE / "document").glob("*.py")), ids=lambda p: p.name)
def test_documents_need_little(path: Path) -> None:
    others = [each for each in imports(path.read_text(encoding="utf-8")) if not own(each)]
    assert {each.module.partition(".")[0] for each in others} <= OF_DOCUMENTS


@each_core_file
def test_the_core_imports_nothing_that_can_act(path: Path) -> None:
    if path == PUBLIC_NAMES:
        return
    allowed = {*PURE, "attrs", *LIBRARY_OF.get(path.name, ())}
    others = {found for found in imports_of(path) if not own(found)}
    assert {found for found in others if found.module not in allowed} == set()


@each_core_file
def test_the_core_calls_nothing_that_acts_or_reads_a_clock(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {call.id for call in calls if isinstance(call, ast.Name)}
    methods = {call.attr for call in calls if isinstance(call, ast.Attribute)}
    assert not names & IMPURE_CALLS
    assert not methods & CLOCKS


def test_the_public_names_are_loaded_when_they_are_used() -> None:
    tree = ast.parse(PUBLIC_NAMES.read_text(encoding="utf-8"))
    at_once = {
        name
        for node in tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
        )
    }
    assert at_once == {"__future__", "importlib", "sys", "types", "typing"}


def test_imports_are_found_wherever_they_stand() -> None:
    source = """
import os.path as p, socket
from time import sleep
def late():
    from he_fsm import tick
    from he_fsm.simulate.world import World
    from . import near
"""
    assert list(imports(source)) == [
        ("os.path", 2),
        ("socket", 2),
        ("time", 3),
        ("he_fsm.tick", 5),
        ("he_fsm.simulate.world", 6),
        (".", 7),
    ]
    assert layer_of("he_fsm.simulate.world") == "simulate"
    assert layer_of("he_fsm.states.names") == "core"
    assert layer_of("he_fsm.tick") == "core"
    assert layer_of("he_fsm") == "core"
