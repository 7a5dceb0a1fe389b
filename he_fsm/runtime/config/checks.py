"""What the values of a configuration have to be together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import lacking, nearest, refusal
from he_fsm.runtime import registry
from he_fsm.runtime.config.settings import Config


def check(config: Config, tree: Tree) -> None:
    """
    Check what one value says about another; each kind that is used checks its own.

    Raises:
        DocumentError: at the value that is to be changed, or the nearest one above it.
    """
    for kind in _kinds(config):
        kind.check(config, tree)
    if config.engine.health.url is None and not config.hypervisor.has_health:
        who = f'the hypervisor "{config.hypervisor.kind}"'
        raise lacking(tree, ("engine", "health"), "url", who)
    if config.metrics.port is not None and config.broker == "embedded":
        message = (
            "the embedded broker listens nowhere: write 'broker: socket', or leave out metrics"
        )
        raise refusal(nearest(tree, "metrics", "port"), message)
    _check_times(config, tree)


def known_of_kinds(config: Config) -> Config:
    """Return the configuration with what the kinds in use say of themselves."""
    kind = registry.load(registry.HYPERVISORS, config.hypervisor.kind)
    if kind.can_migrate:
        return config
    return attrs.evolve(config, policy=attrs.evolve(config.policy, live_migration=False))


def _kinds(config: Config) -> Iterator[Any]:
    yield registry.load(registry.MONITORS, config.monitors.network.test)
    for name in registry.names(registry.NOTIFIERS):
        if config.notify.uses(name):
            yield registry.load(registry.NOTIFIERS, name)
    yield registry.load(registry.HYPERVISORS, config.hypervisor.kind)
    yield registry.load(registry.LEASES, config.leases)


def _check_times(config: Config, tree: Tree) -> None:
    policy, monitors = config.policy, config.monitors
    if config.storage.deadline_s >= policy.loop_s:
        message = (
            f"expected less than the policy's loop_s ({policy.loop_s:g} s), or a storage that"
            f" hangs is not noticed within a loop; got {config.storage.deadline_s:g} s"
        )
        raise refusal(nearest(tree, "storage", "deadline"), message)
    kind = registry.load(registry.MONITORS, monitors.network.test)
    network_s = kind.measure_s(monitors.network)
    key = "interval" if monitors.interval_s >= network_s else "network"
    slowest = max(monitors.interval_s, network_s)
    if slowest >= policy.reading_age_max_s:
        message = (
            f"a measurement every {slowest:g} s, expected less than the policy's reading_age_max_s"
            f" ({policy.reading_age_max_s:g} s): readings would be too old before the next"
        )
        raise refusal(nearest(tree, "monitors", key), message)
