"""The policy of a configuration: a named one, with some of its numbers changed."""

from __future__ import annotations

from typing import Any, Final

import attrs

from he_fsm.document.forms import Schema
from he_fsm.document.mappings import Variation, VariationForm, forms_by_type
from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import Node, refusal
from he_fsm.errors import PolicyError
from he_fsm.policy import POLICIES, PROFILES, TALK, Policy

_VARIATION: Final = VariationForm(
    POLICIES, TALK, forms_by_type(Policy), "a policy's name or a mapping", PROFILES
)


@attrs.frozen
class PolicyForm:
    """A policy's name, or a mapping with `base`, `profile` and the fields that differ."""

    def read(self, node: Node, context: Any) -> Policy:
        """Return the policy; one that is unsafe is refused at the number that makes it so."""
        variation = _VARIATION.read(node, context)
        try:
            return _built(variation)
        except PolicyError as e:
            raise refusal(_culprit(variation, node, e.rule), str(e)) from e

    def schema(self) -> Schema:
        """Return the names, or an object."""
        return _VARIATION.schema()


def _built(variation: Variation) -> Policy:
    policy: Policy = attrs.evolve(variation.base, **variation.all_changes)
    return policy


def _culprit(variation: Variation, node: Node, rule: str) -> Node:
    """Return the change that breaks a rule by itself; the whole policy where only several do."""
    pairs = node.pairs if isinstance(node, Tree) else {}
    for key, value in variation.changes.items():
        if _breaks(attrs.evolve(variation, changes={key: value}), rule):
            return pairs[key].value
    return node


def _breaks(variation: Variation, rule: str) -> bool:
    try:
        _built(variation)
    except PolicyError as e:
        return e.rule == rule
    return False
