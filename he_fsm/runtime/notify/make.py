"""What tells people, from the configuration."""

from __future__ import annotations

from he_fsm.runtime import registry
from he_fsm.runtime.config import Config
from he_fsm.runtime.notify.notifier import QueuedNotifier
from he_fsm.runtime.notify.rules import Rule
from he_fsm.runtime.ports import Channel


def make_notifier(config: Config) -> QueuedNotifier:
    """Make the notifier; its threads begin at once. Without channels it tells nobody."""
    return QueuedNotifier(make_channels(config), Rule(config.notify.transitions))


def make_channels(config: Config) -> tuple[Channel, ...]:
    """Make the ways to tell people that are configured."""
    used = [name for name in registry.names(registry.NOTIFIERS) if config.notify.uses(name)]
    kinds = [registry.load(registry.NOTIFIERS, name) for name in used]
    return tuple(channel for kind in kinds for channel in kind.make(config))
