"""The policy of a scenario: a named one, with some of its numbers changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import attrs

from he_fsm.document.forms import Schema
from he_fsm.document.mappings import VariationForm, forms_by_type
from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import Node, refusal
from he_fsm.errors import PolicyError
from he_fsm.policy import POLICIES, PROFILES, TALK, Policy
from he_fsm.scenario.language.host_names import HostNames
from he_fsm.scenario.model import World

# These fields of the policy describe the surroundings, so they are set in `world`.
FROM_WORLD: Final[Mapping[str, str]] = {"loop_s": "loop", "io_timeout_s": "io_timeout"}


_POLICY: Final = VariationForm(
    POLICIES,
    TALK,
    {name: form for name, form in forms_by_type(Policy).items() if name not in FROM_WORLD},
    "a policy's name or a mapping",
    PROFILES,
)


@attrs.frozen
class PolicyChoice:
    """
    A named policy and what the scenario changes in it.

    `world`: what a profile changes in the surroundings, by the keys of `world`'s fields.
    """

    base: Policy = TALK
    changes: Mapping[str, Any] = attrs.field(factory=dict)
    world: Mapping[str, float] = attrs.field(factory=dict)

    def surroundings(self, world: World, said: Collection[str] = ()) -> World:
        """Return the surroundings with what the profile has, but for the keys that are *said*."""
        new: dict[str, Any] = {
            name: value for name, value in self.world.items() if FROM_WORLD[name] not in said
        }
        return attrs.evolve(world, **new)

    def made_for(self, world: World) -> Policy:
        """
        Make the policy for some surroundings.

        Raises:
            PolicyError: its numbers are unsafe together.
        """
        policy: Policy = attrs.evolve(
            self.base, **self.changes, loop_s=world.loop_s, io_timeout_s=world.io_timeout_s
        )
        # What can't move in this world is never told to, whatever the policy says.
        can_move = policy.live_migration and world.live_migration
        return attrs.evolve(policy, live_migration=can_move)


@attrs.frozen
class PolicyForm:
    """A policy's name, or a mapping with `base`, `profile` and the fields that differ."""

    def read(self, node: Node, hosts: HostNames) -> PolicyChoice:
        """Return the choice."""
        pairs = node.pairs if isinstance(node, Tree) else {}
        for field, world_key in FROM_WORLD.items():
            if field in pairs:
                raise refusal(pairs[field].key, f"this is set as '{world_key}' of 'world'")
        variation = _POLICY.read(node, hosts)
        changes = variation.all_changes
        world = {name: changes.pop(name) for name in FROM_WORLD if name in changes}
        return PolicyChoice(variation.base, changes, world)

    def schema(self) -> Schema:
        """Return the schema of a name, or of an object."""
        return _POLICY.schema()


def build_policy(choice: PolicyChoice, world: World, scenario: Tree) -> Policy:
    """
    Make the policy of a scenario.

    Raises:
        ScenarioError: it is unsafe; the place is that of the number that makes it unsafe, if known.
    """
    try:
        policy = choice.made_for(world)
    except PolicyError as e:
        raise refusal(_culprit(choice, world, scenario, e.rule), str(e)) from e
    slowest = world.loop_s + world.jitter_s + world.storage_latency_s
    if slowest >= policy.dead_after_s:
        message = (
            f"loop + jitter + storage_latency is {slowest:g} s, expected less than the policy's"
            f" dead_after_s ({policy.dead_after_s:g} s): live hosts would look dead"
        )
        unsafe = PolicyError(message, "heartbeat-within-liveness", slowest - policy.dead_after_s)
        raise refusal(_largest_delay(world, scenario), message) from unsafe
    return policy


def _culprit(choice: PolicyChoice, world: World, scenario: Tree, rule: str) -> Node:
    policy_node = scenario.get("policy")
    if isinstance(policy_node, Tree) and policy_node.get(rule) is not None:
        return policy_node.pairs[rule].value
    try:
        PolicyChoice(choice.base).made_for(world)
    except PolicyError:
        return _world_node(("loop", "io_timeout"), scenario)
    return policy_node or scenario


def _largest_delay(world: World, scenario: Tree) -> Node:
    delays = {
        "loop": world.loop_s,
        "jitter": world.jitter_s,
        "storage_latency": world.storage_latency_s,
    }
    return _world_node(sorted(delays, key=lambda key: -delays[key]), scenario)


def _world_node(keys: Iterable[str], scenario: Tree) -> Node:
    """Return the first of some keys of `world` that is written, else the nearest node above."""
    world = scenario.get("world") or scenario
    pairs = world.pairs if isinstance(world, Tree) else {}
    return next((pairs[key].value for key in keys if key in pairs), world)
