"""Reading a configuration: our file, then oVirt's files for what it does not say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Union

import attrs

from he_fsm.document.files import read_text
from he_fsm.document.forms import OrNull, Schema
from he_fsm.document.mappings import Record, known_pairs
from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import (
    Node,
    Pair,
    Scalar,
    as_mapping,
    is_null,
    parse_tree,
    refused_as,
)
from he_fsm.errors import ConfigError
from he_fsm.runtime import registry
from he_fsm.runtime.config.checks import check, known_of_kinds
from he_fsm.runtime.config.kind_form import KindForm, OpenRecord
from he_fsm.runtime.config.outside import OvirtConfig
from he_fsm.runtime.config.ovirt.files import read_ovirt
from he_fsm.runtime.config.settings import OVIRT_FORM, Config

DEFAULT_PATH: Final = Path("/etc/he-fsm/he-fsm.yaml")
_WHAT: Final = "a mapping with the keys 'host' and 'storage'"
_WHOLE: Final = OpenRecord(Config, _WHAT, registry.LEASES, chosen="leases")


def load_config(path: Union[str, Path] = DEFAULT_PATH) -> Config:
    """
    Read a configuration file, and oVirt's files where they exist.

    Args:
        path: the file, in UTF-8; errors name it as it is given here. Relative paths in it are
            below its folder.

    Raises:
        ConfigError: a file can't be used; file:line:column, the path of the key, and what was
            expected there.
    """
    with refused_as(ConfigError):
        text = read_text(path)
    return parse_config(text, str(path), Path(path).absolute().parent)


def parse_config(text: str, file_name: str, folder: Path) -> Config:
    """
    Read a configuration from a text, and oVirt's files where they exist.

    Args:
        text: YAML.
        file_name: what errors and origins call it.
        folder: what relative paths are below; absolute.

    Raises:
        ConfigError: as `load_config`.
    """
    with refused_as(ConfigError):
        own = _with_base(as_mapping(parse_tree(text, file_name, _WHAT), _WHAT))
        known_pairs(own, tuple(_WHOLE.forms), _WHAT)
        tree = own
        ovirt_node = own.get("ovirt")
        files = OvirtConfig() if ovirt_node is None else OVIRT_FORM.read(ovirt_node, folder)
        if files is not None:
            tree = _merged(own, read_ovirt(files, own), _WHOLE)
        config: Config = _WHOLE.read(tree, folder)
        check(config, tree)
        config = known_of_kinds(config)
        return attrs.evolve(config, origins=dict(_origins(tree, "")))


def json_schema() -> Schema:
    """Return the JSON Schema of a configuration file (draft 2020-12), for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "he_fsm configuration",
        **_WHOLE.schema(),
        # What our file does not say may stand in oVirt's.
        "required": ["storage"],
    }


def _with_base(own: Tree) -> Tree:
    """Write a policy that is only named as a mapping, so that fields can be added to it."""
    policy = own.pairs.get("policy")
    if policy is None or not isinstance(policy.value, Scalar) or is_null(policy.value):
        return own
    name = policy.value
    base = Pair(attrs.evolve(name, text="base", value="base"), name)
    pair = Pair(policy.key, Tree(name.place, name.path, {"base": base}))
    return attrs.evolve(own, pairs={**own.pairs, "policy": pair})


def _merged(own: Tree, theirs: Tree, record: Record) -> Tree:
    """Return our values, and oVirt's where we have none; an empty section of ours has none."""
    pairs = dict(own.pairs)
    for key, pair in theirs.pairs.items():
        mine = pairs.get(key)
        form = record.forms[key]
        inner = form.form if isinstance(form, OrNull) else form
        if mine is None or (is_null(mine.value) and isinstance(form, (Record, KindForm))):
            pairs[key] = pair
        elif isinstance(mine.value, Tree) and isinstance(pair.value, Tree):
            if isinstance(inner, Record):
                below = _merged(mine.value, pair.value, inner)
            else:
                below = attrs.evolve(mine.value, pairs={**pair.value.pairs, **mine.value.pairs})
            pairs[key] = Pair(mine.key, below)
    return attrs.evolve(own, pairs=pairs)


def _origins(node: Node, path: str) -> Iterator[tuple[str, str]]:
    """Return the place of each value, by dotted key."""
    if not isinstance(node, Tree):
        yield path, str(node.place)
        return
    for key, pair in node.pairs.items():
        yield from _origins(pair.value, f"{path}.{key}" if path else key)
