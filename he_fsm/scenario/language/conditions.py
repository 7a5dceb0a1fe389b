"""The conditions: how each is written, and which signals it reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import attrs

from he_fsm.document.forms import Choice, Duration, Flag, Form, Number, Schema, Text
from he_fsm.document.mappings import keys_schema, known_pairs
from he_fsm.document.nodes import Node, Scalar, Sequence, describe, is_null, refusal
from he_fsm.document.units import Comparison
from he_fsm.metadata.record import ProblemWord
from he_fsm.scenario.judging.counting import read_totals, total_condition, totals_schema
from he_fsm.scenario.judging.matching import (
    WORDS_OF_BAD,
    Compares,
    Condition,
    Fields,
    OneOf,
    Test,
)
from he_fsm.scenario.language.forms import HOST_SCHEMA, Compared, HostReference
from he_fsm.scenario.language.host_names import HostNames
from he_fsm.states.names import State

ENGINE_WORDS: Final = ("good", "bad", "paused", "starting", "migrating", "stopping", "down")
VM_WORDS: Final = ("up", "down", "unknown")
STATE_NAMES: Final = tuple(state.value for state in State)


@attrs.frozen
class Alternatives:
    """One value, or a list of which one must match; null is allowed if `or_null`."""

    form: Form
    or_null: bool = False

    def read(self, node: Node, hosts: HostNames) -> tuple[Any, ...]:
        """Return the values."""
        nodes = node.items if isinstance(node, Sequence) else (node,)
        if not nodes:
            raise refusal(node, "expected at least one value")
        return tuple(
            None if self.or_null and is_null(item) else self.form.read(item, hosts)
            for item in nodes
        )

    def schema(self) -> Schema:
        """Return the schema of a value, or of an array of values."""
        one = self.form.schema()
        if self.or_null:
            one = {"anyOf": [one, {"type": "null"}]}
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}


@attrs.frozen
class FieldForm:
    """A field of a record: a value, or `!=` and a value."""

    form: Form

    def read(self, node: Node, hosts: HostNames) -> OneOf:
        """Return the test."""
        if isinstance(node, Scalar) and node.text.startswith("!="):
            rest = node.text[2:].strip()
            plain = attrs.evolve(node, text=rest, value=rest)
            return OneOf((self.form.read(plain, hosts),), is_negated=True)
        return OneOf((self.form.read(node, hosts),))

    def schema(self) -> Schema:
        """Return the schema of the value, or of the comparison."""
        return {"anyOf": [self.form.schema(), {"type": "string", "pattern": "^!="}]}


@attrs.frozen
class NumberForm:
    """A number or a comparison, as a test."""

    compared: Compared

    def read(self, node: Node, hosts: HostNames) -> Compares:
        """Return the test."""
        return Compares(self.compared.read(node, hosts))

    def schema(self) -> Schema:
        """Return the schema of a number, or of a string that begins with an operator."""
        return self.compared.schema()


RECORD_FORMS: Final[Mapping[str, Form]] = {
    "score": NumberForm(Compared(Number())),
    "vm": FieldForm(Choice.of(*VM_WORDS)),
    "hostname": FieldForm(Text("a hostname")),
    "maintenance": FieldForm(Flag()),
    "stopped": FieldForm(Flag()),
    "age": NumberForm(Compared(Duration())),
}


@attrs.frozen
class FieldsForm:
    """Fields of a record, or null: there is no record."""

    def read(self, node: Node, hosts: HostNames) -> Test:
        """Return the test."""
        if is_null(node):
            return OneOf((None,))
        pairs = known_pairs(node, tuple(RECORD_FORMS), "fields of a record, or null")
        if not pairs:
            raise refusal(node, f"expected at least one of {', '.join(RECORD_FORMS)}")
        return Fields(
            tuple((key, RECORD_FORMS[key].read(pair.value, hosts)) for key, pair in pairs.items())
        )

    def schema(self) -> Schema:
        """Return the schema of an object, or of null."""
        return {"anyOf": [{**keys_schema(RECORD_FORMS), "minProperties": 1}, {"type": "null"}]}


class ConditionForm(Protocol):
    """Reads the value of one condition's key."""

    def conditions(self, node: Node, hosts: HostNames) -> tuple[Condition, ...]:
        """Return the conditions that must hold."""

    def schema(self) -> Schema:
        """Return the JSON Schema of the value."""


@attrs.frozen
class Plain:
    """A condition on one signal of the whole cluster."""

    name: str
    form: Form

    def conditions(self, node: Node, hosts: HostNames) -> tuple[Condition, ...]:
        """Return the one condition."""
        wanted = self.form.read(node, hosts)
        return (Condition((self.name,), _test(wanted), self.name),)

    def schema(self) -> Schema:
        """Return the form's schema."""
        return self.form.schema()


def _test(wanted: Any) -> Test:
    """Make a test of what a form read: values (one must match), a comparison, or a test."""
    if isinstance(wanted, tuple):
        return OneOf(wanted)
    if isinstance(wanted, Comparison):
        return Compares(wanted)
    test: Test = wanted
    return test


@attrs.frozen
class EngineWordForm:
    """A word about the engine; `bad` includes a paused one."""

    form: Form = Alternatives(Choice.of(*ENGINE_WORDS))

    def read(self, node: Node, hosts: HostNames) -> tuple[str, ...]:
        """Return the words of which one must be true."""
        words: tuple[str, ...] = self.form.read(node, hosts)
        return (*words, *WORDS_OF_BAD) if "bad" in words else words

    def schema(self) -> Schema:
        """Return the schema of a word, or of an array of words."""
        return self.form.schema()


_HOST_KEYS: Final[Schema] = {"type": "object", "minProperties": 1}


@attrs.frozen
class ByHost:
    """A condition on each of some hosts; `label` has `{}` in place of the host's name."""

    name: str
    form: Form
    label: str

    def conditions(self, node: Node, hosts: HostNames) -> tuple[Condition, ...]:
        """Return one condition for each host."""
        return tuple(
            Condition(
                (self.name, host),
                _test(self.form.read(pair.value, hosts)),
                self.label.format(host),
            )
            for host, pair in hosts.by_host(node).items()
        )

    def schema(self) -> Schema:
        """Return the schema of an object by host id."""
        return {**_HOST_KEYS, "additionalProperties": self.form.schema()}


@attrs.frozen
class SeesForm:
    """What a viewer has read of other hosts' records."""

    def conditions(self, node: Node, hosts: HostNames) -> tuple[Condition, ...]:
        """Return one condition for each viewer and host."""
        return tuple(
            Condition(
                ("sees", viewer, host),
                FieldsForm().read(pair.value, hosts),
                f"what {viewer} sees of {host}",
            )
            for viewer, seen in hosts.by_host(node).items()
            for host, pair in hosts.by_host(seen.value).items()
        )

    def schema(self) -> Schema:
        """Return the schema of an object by viewer, then by host."""
        inner = {**_HOST_KEYS, "additionalProperties": FieldsForm().schema()}
        return {**_HOST_KEYS, "additionalProperties": inner}


@attrs.frozen
class ProblemForm:
    """The problems that a viewer reports of slots that it can't believe."""

    form: Form = Alternatives(Choice.of(*(word.value for word in ProblemWord)), or_null=True)

    def conditions(self, node: Node, hosts: HostNames) -> tuple[Condition, ...]:
        """Return one condition for each viewer and slot."""
        return tuple(
            Condition(
                ("problem", viewer, slot),
                OneOf(self.form.read(pair.value, hosts)),
                f"the problem of {viewer} with slot {slot}",
            )
            for viewer, problems in hosts.by_host(node).items()
            for slot, pair in hosts.by_slot(problems.value).items()
        )

    def schema(self) -> Schema:
        """Return the schema of an object by viewer, then by slot."""
        inner = {**_HOST_KEYS, "additionalProperties": self.form.schema()}
        return {**_HOST_KEYS, "additionalProperties": inner}


@attrs.frozen
class HostIdsForm:
    """A list of hosts, as the set of their ids."""

    def read(self, node: Node, hosts: HostNames) -> OneOf:
        """Return the test."""
        ids = frozenset(hosts.id_of(name) for name in hosts.many(node))
        return OneOf((ids,))

    def schema(self) -> Schema:
        """Return the schema of a host, or of an array of hosts."""
        return {"anyOf": [HOST_SCHEMA, {"type": "array", "items": HOST_SCHEMA}]}


_HOST_OR_NONE: Final = Alternatives(HostReference(), or_null=True)


@attrs.frozen
class HostOrNoneForm:
    """Hosts of which one must match: an id, a name, a range, null, or a list of these."""

    def read(self, node: Node, hosts: HostNames) -> tuple[str | None, ...]:
        """Return the names."""
        nodes = node.items if isinstance(node, Sequence) else (node,)
        if not nodes:
            raise refusal(node, "expected at least one host id, or null")
        names: list[str | None] = []
        for item in nodes:
            names.extend([None] if is_null(item) else hosts.many(item))
        return tuple(names)

    def schema(self) -> Schema:
        """Return the schema of a host, of null, or of an array."""
        return _HOST_OR_NONE.schema()


CONDITIONS: Final[Mapping[str, ConditionForm]] = {
    "engine_on": Plain("engine_on", HostOrNoneForm()),
    "engine": Plain("engine", EngineWordForm()),
    "running": Plain("running", Compared(Number())),
    "score": ByHost("score", NumberForm(Compared(Number())), "the score of {}"),
    "record": ByHost("record", FieldsForm(), "the record of {}"),
    "sees": SeesForm(),
    "state": ByHost("state", Alternatives(Choice.of(*STATE_NAMES)), "the state of {}"),
    "alive": ByHost("alive", HostIdsForm(), "what {} takes for alive"),
    "lease": Plain("lease", HostOrNoneForm()),
    "problem": ProblemForm(),
}


@attrs.frozen
class ConditionsForm:
    """Conditions that must hold together, as after `since`; `total` counts so far."""

    def read(self, node: Node, hosts: HostNames) -> tuple[Condition, ...]:
        """Return the conditions."""
        pairs = known_pairs(
            node, (*CONDITIONS, "total", "host"), "conditions like {engine: migrating}"
        )
        conditions: list[Condition] = []
        for key, pair in pairs.items():
            if key in CONDITIONS:
                conditions.extend(CONDITIONS[key].conditions(pair.value, hosts))
        if "host" in pairs and "total" not in pairs:
            raise refusal(pairs["host"].key, "'host' goes with 'total'")
        if "total" in pairs:
            host = hosts.one(pairs["host"].value) if "host" in pairs else None
            totals = read_totals(pairs["total"].value, hosts)
            conditions.extend(total_condition(name, host, totals[name]) for name in totals)
        if not conditions:
            raise refusal(node, f"expected a condition, got {describe(node)} without one")
        return tuple(conditions)

    def schema(self) -> Schema:
        """Return the schema of an object with at least one condition."""
        properties = {
            **{key: form.schema() for key, form in CONDITIONS.items()},
            "total": totals_schema(),
            "host": HOST_SCHEMA,
        }
        return {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            "minProperties": 1,
            "dependentRequired": {"host": ["total"]},
        }
