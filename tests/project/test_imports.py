"""Which way the arrows point: what each part of the package may import."""

from __future__ import annotations

import ast
import graphlib
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "he_fsm"
PUBLIC_NAMES = PACKAGE / "__init__.py"
# What `python -m he_fsm` runs is a command.
MAIN = PACKAGE / "__main__.py"

# Documents know nothing of what they are about.
OF_DOCUMENTS = {
    *("__future__", "collections", "contextlib", "difflib", "math", "operator", "pathlib", "re"),
    *("typing", "attrs", "yaml"),
}
PURE_FOLDERS = {"crowd", "states", "metadata", "why", "history"}
# Modules of the standard library in which nothing reads, writes, waits or draws lots.
PURE = {
    *(
        "__future__",
        "bisect",
        "calendar",
        "collections",
        "collections.abc",
        "datetime",
        "enum",
        "functools",
        "json",
    ),
    *("math", "operator", "re", "types", "typing", "zlib"),
}
# Libraries without I/O that one module each of the core stands on.
LIBRARY_OF = {
    "machine.py": {"transitions"},
    "serialise.py": {"cattrs"},
    # A checksum of what is passed in.
    "definition.py": {"hashlib"},
}
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


def core_files() -> list[Path]:
    """Return the files of the core, but for the one with the public names."""
    files = [path for path in source_files() if len(path.relative_to(PACKAGE).parts) == 1]
    for folder in PURE_FOLDERS:
        files += (PACKAGE / folder).rglob("*.py")
    return [path for path in files if path not in (PUBLIC_NAMES, MAIN)]


def imports(source: str) -> Iterator[Import]:
    """Return every import of a source text, those inside functions too."""
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


def names_of(path: Path) -> set[str]:
    return {found.module.partition(".")[0] for found in imports_of(path)}


def own(found: Import) -> bool:
    return found.module == "he_fsm" or found.module.startswith("he_fsm.")


# From top to bottom: a layer may import what stands below it. Those of one line know nothing of
# each other. The core, which is the modules at the top and the pure folders, is the last.
LAYERS = (
    ("cli",),
    # It shows clusters in the browser, and asks the simulator about them.
    ("dashboard",),
    # The live cluster as people ask about it: on a terminal, and in the browser.
    ("live",),
    # It sets real hosts up, and needs none of what stands below it but the daemons' own parts.
    ("deploy",),
    ("chaos",),
    ("rehearse",),
    ("lab", "campaign", "check", "testing"),
    ("runtime", "simulate"),
    ("report",),
    ("scenario",),
    ("files",),
)
# Real daemons, and what plays them in memory, never meet; nor do daemons know of scenarios.
STRANGERS = (
    (
        "deploy",
        {"chaos", "rehearse", "lab", "campaign", "check", "testing", "simulate", "scenario"},
    ),
    ("rehearse", {"simulate", "campaign", "check"}),
    ("chaos", {"simulate", "campaign", "check"}),
    ("lab", {"scenario", "report"}),
    ("runtime", {"scenario", "report"}),
    ("testing", {"simulate", "scenario", "report"}),
)


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Every import of the package, those for type checkers and inside functions too."""
    return grimp.build_graph("he_fsm", exclude_type_checking_imports=False, cache_dir=None)


def layer_of(module: str) -> str:
    """Return the folder of a module; `core` for the modules at the top and in pure folders."""
    if module == "he_fsm.__main__":
        return "cli"
    folder = module.split(".")[1] if "." in module else ""
    is_core = not (PACKAGE / folder).is_dir() or folder in PURE_FOLDERS
    return "core" if is_core or not folder else folder


def test_every_folder_is_a_layer() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == {*itertools.chain(*LAYERS), *PURE_FOLDERS, "document"}


def test_imports_point_down(graph: grimp.ImportGraph) -> None:
    layers = [grimp.Layer(*(f"he_fsm.{name}" for name in names)) for names in LAYERS]
    core = sorted(name for name in graph.find_children("he_fsm") if layer_of(name) == "core")
    order = (*layers, grimp.Layer("he_fsm.document"), grimp.Layer(*core, independent=False))
    # The public names lead everywhere, and nothing below the commands imports them.
    assert graph.find_illegal_dependencies_for_layers(layers=order) == set()


@pytest.mark.parametrize(("layer", "strangers"), STRANGERS)
def test_strangers_never_meet(graph: grimp.ImportGraph, layer: str, strangers: set[str]) -> None:
    modules = [module for module in graph.modules if layer_of(module) == layer]
    met = {
        (module, found)
        for module in modules
        for found in graph.find_modules_directly_imported_by(module)
        if layer_of(found) in strangers
    }
    assert met == set()


def test_no_module_imports_itself_round_about(graph: grimp.ImportGraph) -> None:
    arrows = {each: graph.find_modules_directly_imported_by(each) for each in graph.modules}
    graphlib.TopologicalSorter(arrows).prepare()


def test_the_configuration_knows_no_kind(graph: grimp.ImportGraph) -> None:
    """Each kind brings its section, which is found by the kind's name."""
    runtime = "he_fsm.runtime"
    kinds = [f"{runtime}.{each}." for each in ("hypervisors", "leases", "monitors", "notify")]
    config = [module for module in graph.modules if module.startswith(f"{runtime}.config")]
    known = {each for one in config for each in graph.find_modules_directly_imported_by(one)}
    assert {each for each in known if each.startswith(tuple(kinds))} == set()


def test_nobody_needs_the_suites_for_other_peoples_tests(graph: grimp.ImportGraph) -> None:
    suites = [module for module in graph.modules if layer_of(module) == "testing"]
    importers = {each for one in suites for each in graph.find_modules_that_directly_import(one)}
    assert importers <= set(suites)


def test_only_the_commands_import_the_whole_package(graph: grimp.ImportGraph) -> None:
    """The public names lead to every layer: importing them goes around the arrows."""
    importers = graph.find_modules_that_directly_import("he_fsm")
    assert [each for each in importers if not each.startswith("he_fsm.cli")] == []


def test_imports_are_written_in_full() -> None:
    wrong = [path for path in source_files() if any(e.module[0] == "." for e in imports_of(path))]
    assert wrong == []


def test_only_the_commands_import_libraries_for_the_terminal() -> None:
    wrong = [
        path
        for path in source_files()
        if path.relative_to(PACKAGE).parts[0] != "cli" and names_of(path) & FOR_PEOPLE
    ]
    assert wrong == []


def test_only_the_suites_for_other_peoples_tests_import_tools_for_tests() -> None:
    for_tests = {"hypothesis", "pytest", "_pytest"}
    importers = {
        layer_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for path in source_files()
        if names_of(path) & for_tests
    }
    assert importers == {"testing"}


def test_documents_need_little() -> None:
    for path in (PACKAGE / "document").glob("*.py"):
        ours = {each.module for each in imports_of(path) if own(each)}
        assert {each for each in ours if layer_of(each) == "core"} <= {"he_fsm.errors"}
        assert names_of(path) <= {*OF_DOCUMENTS, "he_fsm"}


def test_the_core_imports_nothing_that_can_act() -> None:
    for path in core_files():
        allowed = {*PURE, "attrs", *LIBRARY_OF.get(path.name, ())}
        others = {found.module for found in imports_of(path) if not own(found)}
        assert others <= allowed, path


def test_the_core_calls_nothing_that_acts_or_reads_a_clock() -> None:
    for path in core_files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        names = {call.id for call in calls if isinstance(call, ast.Name)}
        methods = {call.attr for call in calls if isinstance(call, ast.Attribute)}
        assert not names & IMPURE_CALLS, path
        assert not methods & CLOCKS, path


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


def test_a_broker_loads_no_library_that_its_configuration_does_not_need() -> None:
    code = (
        "import he_fsm.runtime.broker.main, he_fsm.runtime.broker_parts, sys; print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert {"dns", "icmplib", "prometheus_client"} & set(loaded.stdout.split()) == set()
