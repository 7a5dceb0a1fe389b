"""Sections whose keys a kind brings, which a package may have registered."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Optional

import attrs

from he_fsm.document.forms import Form, Schema, Text
from he_fsm.document.mappings import Record, keys_schema, known_pairs, written_as, written_fields
from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import (
    Node,
    as_mapping,
    as_scalar,
    describe,
    is_null,
    refusal,
    suggestion,
)
from he_fsm.errors import ConfigError
from he_fsm.runtime import registry

# The name of a kind, in the class of its section; that there is one is checked before.
KIND: Final = Text("a kind")


@attrs.frozen
class KindForm:
    """
    A mapping of which one key names a kind of *group*; the other keys are that kind's.

    Keys of other kinds that are installed are checked, and have no effect: a file can be switched
    from kind to kind by one word.
    """

    group: str
    what: str
    key: str
    usual: str

    def usual_section(self) -> Any:
        """Make the section as it is where nothing is written."""
        return registry.load(self.group, self.usual).section()

    def read(self, node: Node, context: Any) -> Any:
        """Make the section of the kind."""
        if is_null(node):
            return self.usual_section()
        mapping = as_mapping(node, self.what)
        record = Record(self._section(mapping.get(self.key)), self.what)
        pairs, own = dict(mapping.pairs), record.forms
        if not pairs.keys() <= own.keys():
            others = self._others()
            known_pairs(node, (*own, *(key for key in others if key not in own)), self.what)
            for key in pairs.keys() - own.keys():
                others[key].read(pairs.pop(key).value, context)
        return record.read(attrs.evolve(mapping, pairs=pairs), context)

    def schema(self) -> Schema:
        """Return an object with the keys of all kinds that are installed."""
        schema = keys_schema({})
        names = registry.names(self.group)
        for section in self._sections():
            for each in written_fields(section).values():
                schema["properties"].setdefault(each.key, each.schema)
        schema["properties"][self.key] = {"enum": list(names)}
        return {**schema, "type": ["object", "null"]}

    def _section(self, node: Optional[Node]) -> type[Any]:
        name = self.usual if node is None else KindName(self.group).read(node, None)
        try:
            section: type[Any] = registry.load(self.group, name).section
        except ConfigError as error:
            if node is None:
                raise
            raise refusal(node, str(error)) from error
        return section

    def _others(self) -> dict[str, Form]:
        return {
            key: form for each in self._sections() for key, form in Record(each, "").forms.items()
        }

    def _sections(self) -> list[type[Any]]:
        return [section for section in map(self._loaded, registry.names(self.group)) if section]

    def _loaded(self, name: str) -> Optional[type[Any]]:
        try:
            section: type[Any] = registry.load(self.group, name).section
        except ConfigError:
            # A package that is broken is in nobody's way who does not name it.
            return None
        return section


@attrs.frozen
class KindName:
    """The name of a kind of *group*."""

    group: str

    def read(self, node: Node, _context: Any) -> str:
        """Return the name; a wrong one is refused with those that there are."""
        there = registry.names(self.group)
        text = as_scalar(node, f"one of {', '.join(there)}").text
        if text not in there:
            hint = suggestion(text, there)
            known = "" if "known:" in hint else f"; known: {', '.join(there)}"
            raise refusal(node, f"unknown word {describe(node)}{hint}{known}")
        return text

    def schema(self) -> Schema:
        """Return the names that are installed."""
        return {"enum": list(registry.names(self.group))}


@attrs.frozen
class OpenRecord(Record):
    """
    A record to which each kind of *group* may add a section, under the kind's name.

    These sections are the field `others` of what is made, by their names. *chosen* is the field
    that names the kind in use: the section of that kind is always there, if it has one.
    """

    group: str = ""
    chosen: str = ""

    @property
    def forms(self) -> dict[str, Form]:
        """The form of each key, those of registered kinds too."""
        return {**super().forms, **self._added()}

    def read(self, node: Node, context: Any) -> Any:
        """Make the instance."""
        added = {} if is_null(node) else self._added()
        mapping = node
        sections = {}
        if added and isinstance(node, Tree):
            pairs = dict(node.pairs)
            found = {key: pairs.pop(key).value for key in added if key in pairs}
            sections = {key: added[key].read(value, context) for key, value in found.items()}
            mapping = attrs.evolve(node, pairs=pairs)
        made = Record(self.made, self.what).read(mapping, context)
        name = getattr(made, self.chosen) if self.chosen else ""
        if name in added and name not in sections:
            sections[name] = added[name].read(Tree(node.place, name, {}), context)
        return attrs.evolve(made, others=sections) if sections else made

    def schema(self) -> Schema:
        """Return an object."""
        schema = Record(self.made, self.what).schema()
        for key, form in self._added().items():
            schema["properties"][key] = form.schema()
        return schema

    def _added(self) -> dict[str, Form]:
        declared = Record(self.made, self.what).forms
        forms: dict[str, Form] = {}
        for name in registry.names(self.group):
            if name in declared:
                continue
            try:
                section = registry.load(self.group, name).section
            except ConfigError:
                continue
            if section is not None:
                forms[name] = Record(section, f"the section of {name}")
        return forms


def named(kind: str, about: str) -> Any:
    """Return the field `kind` of a section's class: the kind's own name, and what the kind is."""
    return attrs.field(default=kind, metadata=written_as("kind", KIND, about))


@attrs.frozen(kw_only=True)
class HypervisorSection:
    """What the sections of all kinds of hypervisors have; each has a field `kind`, see `named`."""

    kind: str = "embedded"

    @property
    def health_url(self) -> Optional[str]:
        """The address of the engine's health page; None: `engine.health.url` has to say it."""
        return None

    @property
    def has_health(self) -> bool:
        """Whether the section says how the engine is judged."""
        return self.health_url is not None

    @property
    def pid_file(self) -> Optional[Path]:
        """Where another daemon notes the VM's process; None: it is a process of the agent's own."""
        return None
