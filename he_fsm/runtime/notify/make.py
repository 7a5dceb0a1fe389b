"""What tells people, from the configuration."""

from __future__ import annotations

from he_fsm.runtime.config import Config
from he_fsm.runtime.notify.channel import Channel
from he_fsm.runtime.notify.hook import Hook
from he_fsm.runtime.notify.mail import Mail
from he_fsm.runtime.notify.notifier import QueuedNotifier
from he_fsm.runtime.notify.rules import Rule


def make_notifier(config: Config) -> QueuedNotifier:
    """Make the notifier; its threads begin at once. Without channels it tells nobody."""
    return QueuedNotifier(make_channels(config), Rule(config.notify.transitions))


def make_channels(config: Config) -> tuple[Channel, ...]:
    """Make the ways to tell people that are configured."""
    channels: list[Channel] = []
    smtp, hook = config.notify.smtp, config.notify.hook
    if smtp is not None:
        channels.append(
            Mail(
                server=smtp.server,
                port=smtp.port,
                sender=smtp.sender,
                recipients=smtp.recipients,
                starttls=smtp.starttls,
                user=smtp.user,
                password_file=smtp.password_file,
                timeout_s=smtp.timeout_s,
            )
        )
    if hook:
        channels.append(Hook(argv=hook))
    return tuple(channels)
