"""Changes to a document that leave all else as it is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.document.spans import with_item, with_value, without
from he_fsm.errors import DocumentError

TEXT = """\
# The first line.
scenarios:
  - name: one   # its name
    policy: talk
    hosts: [{id: 1}, {id: 2, cpu_load: 0.3}]   # two
    timeline:
      # before the first
      - {at: 60s, host: 1, power: off}   # it fails
      - at: 90s
        host: 2   # the other
        set:
          gateway: 0
    about: >
      Several
      lines.
    until: 10m
"""
BASE = ("scenarios", 0)
ALIASED = "a: &x {n: 1}\nb: *x\nc: {<<: *x, m: 2}\n"


def changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    old, new = before.splitlines(), after.splitlines()
    return [each for each in old if each not in new], [each for each in new if each not in old]


@pytest.mark.parametrize(
    ("path", "value", "gone", "new"),
    [
        (("until",), "12m", ["    until: 10m"], ["    until: 12m"]),
        (("policy",), "ovirt", ["    policy: talk"], ["    policy: ovirt"]),
        (
            ("hosts", 1, "cpu_load"),
            0.5,
            ["    hosts: [{id: 1}, {id: 2, cpu_load: 0.3}]   # two"],
            ["    hosts: [{id: 1}, {id: 2, cpu_load: 0.5}]   # two"],
        ),
        (
            ("hosts", 0, "gateway"),
            False,
            ["    hosts: [{id: 1}, {id: 2, cpu_load: 0.3}]   # two"],
            ["    hosts: [{id: 1, gateway: false}, {id: 2, cpu_load: 0.3}]   # two"],
        ),
        (
            ("timeline", 1, "host"),
            1,
            ["        host: 2   # the other"],
            ["        host: 1   # the other"],
        ),
        (("timeline", 1, "set", "gateway"), 1, ["          gateway: 0"], ["          gateway: 1"]),
        (("timeline", 1, "every"), "60s", [], ["        every: 60s"]),
        (("seed",), 7, [], ["    seed: 7"]),
        (
            ("about",),
            "short",
            ["    about: >", "      Several", "      lines."],
            ["    about: short"],
        ),
    ],
)
def test_a_value_is_written_and_all_else_stays(
    path: tuple[Any, ...], value: Any, gone: list[str], new: list[str]
) -> None:
    assert changed_lines(TEXT, with_value(TEXT, (*BASE, *path), value)) == (gone, new)


def test_a_key_is_written_after_those_that_usually_stand_before_it() -> None:
    order = ("name", "policy", "world", "hosts")
    lines = with_value(TEXT, (*BASE, "world"), {"loop": "5s"}, order=order).splitlines()
    assert lines[4] == "    world: {loop: 5s}"
    assert lines[3] == "    policy: talk"


def test_items_are_added_at_the_end_of_either_kind_of_list() -> None:
    block = with_item(TEXT, (*BASE, "timeline"), {"at": "2m", "engine": "kill"})
    assert changed_lines(TEXT, block) == ([], ["      - {at: 2m, engine: kill}"])
    flow = with_item(TEXT, (*BASE, "hosts"), {"id": 3})
    assert "    hosts: [{id: 1}, {id: 2, cpu_load: 0.3}, {id: 3}]   # two" in flow.splitlines()


def test_items_and_keys_are_removed_with_their_lines() -> None:
    first = without(TEXT, (*BASE, "timeline", 0))
    assert changed_lines(TEXT, first) == (
        ["      - {at: 60s, host: 1, power: off}   # it fails"],
        [],
    )
    second = without(TEXT, (*BASE, "timeline", 1))
    gone = [
        "      - at: 90s",
        "        host: 2   # the other",
        "        set:",
        "          gateway: 0",
    ]
    assert changed_lines(TEXT, second) == (gone, [])
    moved_up = without(TEXT, (*BASE, "name"))
    assert moved_up.splitlines()[2] == "  - policy: talk"
    assert "[{id: 2, cpu_load: 0.3}]" in without(TEXT, (*BASE, "hosts", 0))
    assert "{id: 2}]" in without(TEXT, (*BASE, "hosts", 1, "cpu_load"))


def test_the_last_part_leaves_an_empty_one() -> None:
    assert without("a: [1]\n", ("a", 0)) == "a: []\n"
    assert without("a: # why\n- 1\nb: 2\n", ("a", 0)) == "a: [] # why\nb: 2\n"
    assert without("a:\n  b: 1\n", ("a", "b")) == "a: {}\n"


@pytest.mark.parametrize(("text", "value"), [("a:\n", 1), ("a:", 1), ("b: 1\na: # why\n", "x")])
def test_a_value_that_is_not_written_yet(text: str, value: Any) -> None:
    assert yaml.safe_load(with_value(text, ("a",), value))["a"] == value


def test_lines_that_end_as_on_other_systems_stay_so() -> None:
    assert with_value("a: 1\r\nb: 2\r\n", ("a",), 3) == "a: 3\r\nb: 2\r\n"


@pytest.mark.parametrize("path", [("a", "n"), ("b", "n")])
def test_what_an_alias_stands_for_is_not_changed_in_one_place(path: tuple[str, ...]) -> None:
    with pytest.raises(DocumentError, match="can't be changed alone here"):
        with_value(ALIASED, path, 2)


def test_a_key_of_a_merge_is_overridden_where_it_is_merged() -> None:
    new = with_value(ALIASED, ("c", "n"), 5)
    assert yaml.safe_load(new) == {"a": {"n": 1}, "b": {"n": 1}, "c": {"n": 5, "m": 2}}


@pytest.mark.parametrize(
    "path", [("x", "y"), ("scenarios", 7, "seed"), ("scenarios", 0, "hosts", 9)]
)
def test_a_place_that_is_not_there_is_named(path: tuple[Any, ...]) -> None:
    with pytest.raises(DocumentError, match="there is no such place"):
        with_value(TEXT, path, 1)


words = st.text("abc: #'\"-[]{},&*!|>%@`é\n", max_size=6) | st.sampled_from(
    ["on", "1e3", "0x1f", "~"]
)
scalars = st.none() | st.booleans() | st.integers(-5, 10**12) | st.floats(allow_nan=False) | words
keys = st.sampled_from(["a", "b", "on", "key two", "7", "é"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(keys, values, min_size=1, max_size=4)


@given(document=documents, is_flow=st.sampled_from([True, False, None]), data=st.data())
def test_whatever_is_changed_is_all_that_changes(
    document: dict[str, Any], is_flow: bool | None, data: st.DataObject
) -> None:
    """The document is the same afterwards, but for the change, in whatever style it is written."""
    text = "# a comment\n" + yaml.safe_dump(
        document, default_flow_style=is_flow, allow_unicode=True
    )
    path = data.draw(st.sampled_from(sorted(_paths(document), key=str)))
    value = data.draw(values)
    expected = json.loads(json.dumps(document))
    holder = expected
    for step in path[:-1]:
        holder = holder[step]
    if data.draw(st.booleans()):
        holder[path[-1]] = json.loads(json.dumps(value))
        new = with_value(text, path, value)
    else:
        del holder[path[-1]]
        new = without(text, path)
    assert yaml.safe_load(new) == expected
    assert new.startswith("# a comment\n")


def _paths(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list)
        else []
    )
    return [
        path for step, each in inner for path in [(*above, step), *_paths(each, (*above, step))]
    ]
