"""Mappings with known keys, and the attrs classes that some of them become."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from he_fsm.scenario.forms import Form, Schema
from he_fsm.scenario.host_names import HostNames
from he_fsm.scenario.nodes import Node, Pair, as_mapping, is_null, refusal, suggestion


def read_keys(node: Node, forms: Mapping[str, Form], hosts: HostNames, what: str) -> dict[str, Any]:
    """Read a mapping with known keys: the values of those that are there."""
    pairs = known_pairs(node, tuple(forms), what)
    return {key: forms[key].read(pair.value, hosts) for key, pair in pairs.items()}


def known_pairs(node: Node, keys: tuple[str, ...], what: str) -> dict[str, Pair]:
    """Give the pairs of a mapping, after a check that all keys are known."""
    mapping = as_mapping(node, what)
    for label, pair in mapping.pairs.items():
        if label not in keys:
            raise refusal(pair.key, f"unknown key{suggestion(label, keys)}")
    return mapping.pairs


def keys_schema(forms: Mapping[str, Form], required: tuple[str, ...] = ()) -> Schema:
    """Give the schema of a mapping with known keys."""
    schema: Schema = {
        "type": "object",
        "properties": {key: form.schema() for key, form in forms.items()},
        "additionalProperties": False,
    }
    return {**schema, "required": list(required)} if required else schema


_FORM: Final = "he_fsm.scenario.form"
_KEY: Final = "he_fsm.scenario.key"


def written_as(key: str, form: Form) -> dict[str, Any]:
    """Give the metadata of an attrs field: the key that it has in a scenario, and its form."""
    return {_KEY: key, _FORM: form}


@attrs.frozen
class Record:
    """A mapping that becomes an instance of an attrs class, by the metadata of its fields."""

    made: type[Any]
    what: str

    @property
    def forms(self) -> dict[str, Form]:
        """The form of each key."""
        return {f.metadata[_KEY]: f.metadata[_FORM] for f in self._fields}

    @property
    def required(self) -> tuple[str, ...]:
        """The keys that must be there."""
        return tuple(f.metadata[_KEY] for f in self._fields if f.default is attrs.NOTHING)

    @property
    def _fields(self) -> tuple[Any, ...]:
        return tuple(f for f in attrs.fields(self.made) if _KEY in f.metadata)

    def read(self, node: Node, hosts: HostNames) -> Any:
        """Make the instance; keys that are missing keep the defaults, as all do for null."""
        if is_null(node) and not self.required:
            return self.made()
        values = read_keys(node, self.forms, hosts, self.what)
        for key in self.required:
            if key not in values:
                raise refusal(node, f"the key '{key}' is missing")
        names = {f.metadata[_KEY]: f.name for f in self._fields}
        return self.made(**{names[key]: value for key, value in values.items()})

    def schema(self) -> Schema:
        """Give an object."""
        schema = keys_schema(self.forms, self.required)
        return schema if self.required else {**schema, "type": ["object", "null"]}
