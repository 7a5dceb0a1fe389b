from __future__ import annotations

from typing import Any, Optional

import attrs
import jsonschema
import pytest

from he_fsm.document.forms import Integer, OrNull, Text
from he_fsm.document.mappings import (
    Record,
    Variation,
    VariationForm,
    forms_by_type,
    written_as,
    written_fields,
)
from he_fsm.document.nodes import parse_tree, refused_as
from he_fsm.errors import ConfigError, DocumentError, ScenarioError


@attrs.frozen
class Meal:
    """What a cook may be told."""

    name: str = "soup"
    cooked_s: float = 60.0
    spoons: Optional[int] = None
    plates: int = 1
    salt_g: float = 0.5
    hot: bool = True


MEALS = {"soup": Meal(), "salad": Meal("salad", 0.0, hot=False)}
FORM = VariationForm(MEALS, MEALS["soup"], forms_by_type(Meal), "a meal")


def read(form: Any, text: str) -> Any:
    return form.read(parse_tree(text, "f", "something"), None)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("salad", Variation(MEALS["salad"])),
        ("{base: salad}", Variation(MEALS["salad"])),
        (
            "{cooked_s: 2m, spoons: null}",
            Variation(MEALS["soup"], {"cooked_s": 120, "spoons": None}),
        ),
        (
            "{base: salad, spoons: 2, plates: 3, salt_g: 1.5, hot: yes, name: mine}",
            Variation(
                MEALS["salad"],
                {"spoons": 2, "plates": 3, "salt_g": 1.5, "hot": True, "name": "mine"},
            ),
        ),
    ],
)
def test_a_named_value_is_changed_by_fields_that_are_read_by_their_types(
    text: str, wanted: Variation
) -> None:
    assert read(FORM, text) == wanted
    jsonschema.validate({"base": "salad", "spoons": None}, FORM.schema())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sald", "f:1:1: unknown word 'sald', did you mean 'salad'?"),
        ("{base: stew}", "f:1:8: base: unknown word 'stew'"),
        ("{spons: 1}", "f:1:2: spons: unknown key, did you mean 'spoons'?"),
        ("{plates: null}", "f:1:10: plates: expected a whole number, got nothing (null)"),
        ("[salad]", "f:1:1: expected a meal, got a list"),
    ],
)
def test_a_variation_that_can_not_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read(FORM, text)
    assert str(caught.value).startswith(message)


@attrs.frozen
class Table:
    """A table of a restaurant."""

    seats: int = attrs.field(metadata=written_as("seats", Integer(1, 8), "how many may sit"))
    is_free: bool = True
    guest: Optional[str] = attrs.field(
        default=None, metadata=written_as("for", OrNull(Text()), "who has ordered it")
    )


def test_only_fields_that_are_written_are_read() -> None:
    form = Record(Table, "a table")
    assert read(form, "{seats: 2, for: Ada}") == Table(seats=2, guest="Ada")
    assert read(form, "{seats: 2, for: null}") == Table(seats=2)
    assert list(written_fields(Table)) == ["seats", "guest"]
    with pytest.raises(DocumentError, match="f:1:12: is_free: unknown key"):
        read(form, "{seats: 2, is_free: no}")
    with pytest.raises(DocumentError, match="f:1:1: the key 'seats' is missing"):
        read(form, "{}")


def test_a_schema_says_what_keys_mean() -> None:
    schema = Record(Table, "a table").schema()
    assert schema["properties"]["seats"]["description"] == "how many may sit"
    assert schema["required"] == ["seats"]


@pytest.mark.parametrize("kind", [ConfigError, ScenarioError])
def test_errors_leave_as_those_of_the_file_and_keep_their_cause(
    kind: type[Exception],
) -> None:
    cause = ValueError("deeper")

    def fail() -> None:
        msg = "f:1:1: nothing"
        raise DocumentError(msg) from cause

    with pytest.raises(kind, match="f:1:1: nothing") as caught, refused_as(kind):
        fail()
    assert caught.value.__cause__ is cause
