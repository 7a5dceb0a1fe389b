"""The tests of the network, as a configuration names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import lacking
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.kinds import MonitorKind
from he_fsm.runtime.monitors.section import NetworkMonitorConfig
from he_fsm.runtime.ports import Monitor


def _needing(*keys: str) -> Callable[[Config, Tree], None]:
    def check(config: Config, tree: Tree) -> None:
        network = config.monitors.network
        for key in keys:
            if getattr(network, key) is None:
                who = f'the test "{network.test}"'
                raise lacking(tree, ("monitors", "network"), key, who)

    return check


def _tries_s(network: NetworkMonitorConfig) -> float:
    """Return how long the tries of a network that never answers take, which overlap."""
    return network.timeout_s + (network.count - 1) * network.delay_s


def _make(network: NetworkMonitorConfig) -> Monitor:
    # Who only reads a configuration does without the libraries that the tests need.
    from he_fsm.runtime.monitors.make import make_network  # noqa: PLC0415

    return make_network(network)


def _kind(*keys: str, is_slow: bool = True) -> MonitorKind:
    return MonitorKind(
        section=NetworkMonitorConfig,
        make=_make,
        measure_s=_tries_s if is_slow else lambda _: 0.0,
        check=_needing(*keys),
    )


PING: Final = _kind("address")
DNS: Final = _kind()
TCP: Final = _kind("address", "port")
NONE: Final = _kind(is_slow=False)
FILE: Final = _kind("path", is_slow=False)
