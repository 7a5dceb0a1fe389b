"""
The optional build: plain Python unless it is asked for, and then what is named is compiled.

What its values promise is in test_values.py, for both builds.
"""

from __future__ import annotations

import ast
import importlib
import os
import re
import runpy
from pathlib import Path
from typing import Any, Callable

import pytest

ROOT = Path(__file__).parents[1]
BUILD: dict[str, Any] = runpy.run_path(str(ROOT / "setup.py"))
written_out: Callable[[str], str] = runpy.run_path(str(ROOT / "tools" / "native_classes.py"))[
    "written_out"
]


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


# What mypyc is given in place of attrs classes and named tuples.


def methods_of(source: str) -> set[str]:
    found = [node for node in ast.parse(written_out(source)).body if isinstance(node, ast.ClassDef)]
    assert [(node.decorator_list, node.bases) for node in found] == [([], [])]
    return {node.name for node in found[0].body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(
    "head", ["@attrs.frozen\nclass One:", "@attrs.frozen(kw_only=True)\nclass One:"]
)
def test_an_attrs_class_is_written_out(head: str) -> None:
    source = f"import attrs\n{head}\n    x: int\n    y: int = 2\n    def kept(self): ...\n"
    names = {"__init__", "__eq__", "__hash__", "__repr__", "__setattr__", "__reduce__", "kept"}
    assert names <= methods_of(source)


def test_a_named_tuple_is_written_out() -> None:
    names = methods_of("class One(NamedTuple):\n    x: int\n")
    assert {"__init__", "__iter__", "_replace", "_asdict"} <= names


def test_what_is_no_value_is_left_as_it_is() -> None:
    source = "@attrs.define\nclass One:\n    x: int = 1\n\ndef f(one):\n    return one.x\n"
    assert ast.dump(ast.parse(written_out(source))) == ast.dump(ast.parse(source))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "@attrs.frozen(order=True)\nclass One:\n    x: int\n",
            "class One: attrs.frozen(order=True) is not understood",
        ),
        (
            "@attrs.frozen\nclass One(Two):\n    x: int\n",
            "class One: it has a base, which is not understood",
        ),
        (
            "@attrs.frozen\nclass One:\n    x: int = attrs.field(converter=int)\n",
            "One.x: converter of attrs.field is not understood",
        ),
    ],
)
def test_what_would_be_lost_is_refused(source: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        written_out(source)
