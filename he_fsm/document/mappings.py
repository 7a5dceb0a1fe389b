"""Mappings with known keys, and their conversion to attrs classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, Optional, get_args, get_origin, get_type_hints

import attrs

from he_fsm.document.forms import (
    Choice,
    Duration,
    Flag,
    Form,
    Integer,
    Number,
    OrNull,
    Schema,
    Text,
)
from he_fsm.document.nodes import Node, Pair, Scalar, as_mapping, is_null, refusal, suggestion


def read_keys(node: Node, forms: Mapping[str, Form], context: Any, what: str) -> dict[str, Any]:
    """Read a mapping with known keys; return the values of the keys that it has."""
    pairs = known_pairs(node, tuple(forms), what)
    return {key: forms[key].read(pair.value, context) for key, pair in pairs.items()}


def known_pairs(node: Node, keys: tuple[str, ...], what: str) -> dict[str, Pair]:
    """Return the pairs of a mapping, after a check that all keys are known."""
    mapping = as_mapping(node, what)
    for label, pair in mapping.pairs.items():
        if label not in keys:
            raise refusal(pair.key, f"unknown key{suggestion(label, keys)}")
    return mapping.pairs


def keys_schema(forms: Mapping[str, Form], required: tuple[str, ...] = ()) -> Schema:
    """Return the schema of a mapping with known keys."""
    schema: Schema = {
        "type": "object",
        "properties": {key: form.schema() for key, form in forms.items()},
        "additionalProperties": False,
    }
    return {**schema, "required": list(required)} if required else schema


_WRITTEN: Final = "he_fsm.document.written"


@attrs.frozen
class Written:
    """How an attrs field is written in a file; `about` says what the field means, for people."""

    key: str
    form: Form
    about: str = ""

    @property
    def schema(self) -> Schema:
        """The JSON Schema of the value, with `about` as its description."""
        schema = self.form.schema()
        return {"description": self.about, **schema} if self.about else schema


def written_as(key: str, form: Form, about: str = "") -> dict[str, Any]:
    """Return the metadata of an attrs field: its key in a file, its form, and what it means."""
    return {_WRITTEN: Written(key, form, about)}


def written_fields(made: type[Any]) -> dict[str, Written]:
    """Return the fields of an attrs class that are written in a file, by their names."""
    fields = {f.name: f.metadata.get(_WRITTEN) for f in attrs.fields(made)}
    return {name: written for name, written in fields.items() if written is not None}


@attrs.frozen
class Record:
    """Reads a mapping as an instance of an attrs class, by the metadata of the class's fields."""

    made: type[Any]
    what: str

    @property
    def forms(self) -> dict[str, Form]:
        """The form of each key."""
        return {each.key: each.form for each in written_fields(self.made).values()}

    @property
    def required(self) -> tuple[str, ...]:
        """The keys that must be there."""
        without_default = {f.name for f in attrs.fields(self.made) if f.default is attrs.NOTHING}
        fields = written_fields(self.made).items()
        return tuple(each.key for name, each in fields if name in without_default)

    def read(self, node: Node, context: Any) -> Any:
        """Make the instance; missing keys have their defaults, and null stands for no keys."""
        if is_null(node) and not self.required:
            return self.made()
        values = read_keys(node, self.forms, context, self.what)
        for key in self.required:
            if key not in values:
                raise refusal(node, f"the key '{key}' is missing")
        names = {each.key: name for name, each in written_fields(self.made).items()}
        return self.made(**{names[key]: value for key, value in values.items()})

    def schema(self) -> Schema:
        """Return the schema of an object; without required keys it may be null."""
        schema = keys_schema(self.forms, self.required)
        for each in written_fields(self.made).values():
            schema["properties"][each.key] = each.schema
        return schema if self.required else {**schema, "type": ["object", "null"]}


def forms_by_type(made: type[Any]) -> dict[str, Form]:
    """Return the form of each field of a class: a time if its name ends in `_s`, else by type."""
    return {name: _form_of(name, kind) for name, kind in get_type_hints(made).items()}


def _form_of(name: str, kind: Any) -> Form:
    if name.endswith("_s"):
        return Duration()
    if kind == Optional[int]:
        return OrNull(Integer())
    if get_origin(kind) is Literal:
        return Choice.of(*get_args(kind))
    simple: Mapping[Any, Form] = {bool: Flag(), str: Text(), int: Integer()}
    return simple.get(kind, Number())


@attrs.frozen
class Variation:
    """One of some named values, with some of its fields changed."""

    base: Any
    changes: Mapping[str, Any] = attrs.field(factory=dict)
    # The changes that a profile has made, which `changes` may change again.
    of_profile: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def all_changes(self) -> dict[str, Any]:
        """The fields that differ from the base."""
        return {**self.of_profile, **self.changes}


@attrs.frozen
class VariationForm:
    """
    A name, or a mapping with `base` (a name), `profile` (another), and the fields that differ.

    `usual` is the base if none is named. `profiles` are fields that differ together, by name.
    """

    known: Mapping[str, Any]
    usual: Any
    fields: Mapping[str, Form]
    what: str
    profiles: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)

    def read(self, node: Node, context: Any) -> Variation:
        """Return the named value and the changes to it."""
        if isinstance(node, Scalar):
            return Variation(Choice(self.known).read(node, context))
        values = read_keys(node, self._forms(), context, self.what)
        base, of_profile = values.pop("base", self.usual), values.pop("profile", {})
        return Variation(base, values, of_profile)

    def schema(self) -> Schema:
        """Return the schema of a name, or of an object with `base`, `profile` and fields."""
        return {"anyOf": [Choice(self.known).schema(), keys_schema(self._forms())]}

    def _forms(self) -> dict[str, Form]:
        profile: dict[str, Form] = {"profile": Choice(self.profiles)} if self.profiles else {}
        return {"base": Choice(self.known), **profile, **self.fields}
