"""What `import he_fsm` promises."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import he_fsm
from he_fsm.metadata.layout import RELEASE
from he_fsm.value import Value

ROOT = Path(__file__).parents[2]


def run(code: str) -> str:
    """Run *code* in a Python of its own, in which nothing of the package is loaded yet."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", he_fsm.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(he_fsm, name) is not None
    assert name in dir(he_fsm)


def is_documented(value: object) -> bool:
    """Return whether a value can have a docstring: not a policy, a union or a table."""
    if os.environ.get("HE_FSM_COMPILED") == "1" and inspect.isclass(value):
        # mypyc keeps no docstring of a native class.
        return not issubclass(value, Value)
    return inspect.isclass(value) or inspect.isfunction(value)


@pytest.mark.parametrize(
    "name", [name for name in he_fsm.__all__ if is_documented(getattr(he_fsm, name))]
)
def test_every_public_class_and_function_says_what_it_is(name: str) -> None:
    text = inspect.getdoc(getattr(he_fsm, name))
    assert text
    # What a named tuple says when nobody has said anything.
    assert not text.startswith(f"{name}(")


def test_the_names_are_sorted_and_each_is_there_once() -> None:
    names = list(he_fsm.__all__)
    assert len(set(names)) == len(names)
    assert set(names) == set(he_fsm._HOME_OF)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'he_fsm' has no attribute 'nothing'"):
        he_fsm.nothing  # noqa: B018 - looking it up is the test


def test_what_the_package_imports_for_type_checkers_is_what_it_loads() -> None:
    source = (ROOT / "he_fsm" / "__init__.py").read_text(encoding="utf-8")
    start, end = source.index("if TYPE_CHECKING:"), source.index("__version__")
    for home, names in he_fsm._HOMES.items():
        assert f"from {home} import" in source[start:end]
        for name in names:
            assert f" {name}" in source[start:end]


@pytest.mark.parametrize("name", ["score", "step", "placement", "simulate"])
@pytest.mark.parametrize(
    "imports",
    [
        "import he_fsm",
        "import he_fsm.{name}",
        "import he_fsm; he_fsm.{name}; import he_fsm.{name}",
        "import he_fsm.tick, he_fsm.{name}, he_fsm.scenario",
    ],
)
@pytest.mark.interpreted
def test_a_function_wins_over_the_module_of_the_same_name(name: str, imports: str) -> None:
    code = imports.format(name=name)
    assert run(f"{code}; print(type(he_fsm.{name}).__name__, he_fsm.{name}.__name__)") == (
        f"function {name}"
    )


def test_the_module_of_a_functions_name_is_still_reached_by_from() -> None:
    assert run("from he_fsm.score import ScorePart; print(ScorePart.__name__)") == "ScorePart"


def test_importing_the_package_loads_neither_simulator_nor_scenarios() -> None:
    code = "import he_fsm, sys; print([n for n in sys.modules if n.startswith('he_fsm.')])"
    assert run(code) == "[]"


def test_the_type_hints_are_shipped() -> None:
    assert (ROOT / "he_fsm" / "py.typed").is_file()


def test_one_release_is_named_everywhere() -> None:
    files = (ROOT / "pyproject.toml", ROOT / "packaging" / "hosted-engine" / "pyproject.toml")
    for path in files:
        assert f'version = "{he_fsm.__version__}"\n' in path.read_text(encoding="utf-8"), path
    assert he_fsm.__version__ == RELEASE
