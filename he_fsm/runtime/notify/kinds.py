"""The ways to tell people, as a configuration names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import nearest, refusal
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.kinds import NotifierKind
from he_fsm.runtime.notify.hook import Hook
from he_fsm.runtime.notify.mail import Mail
from he_fsm.runtime.ports import Channel


def _mails(config: Config) -> Sequence[Channel]:
    smtp = config.notify.smtp
    if smtp is None:
        return ()
    return (
        Mail(
            server=smtp.server,
            port=smtp.port,
            sender=smtp.sender,
            recipients=smtp.recipients,
            starttls=smtp.starttls,
            user=smtp.user,
            password_file=smtp.password_file,
            timeout_s=smtp.timeout_s,
        ),
    )


def _check_login(config: Config, tree: Tree) -> None:
    smtp = config.notify.smtp
    if smtp is None:
        return
    if (smtp.user is None) != (smtp.password_file is None):
        there, missing = "user", "password_file"
        if smtp.user is None:
            there, missing = missing, there
        message = f'"{there}" needs the key "{missing}" beside it'
        raise refusal(nearest(tree, "notify", "smtp", there), message)
    if smtp.user is not None and not smtp.starttls:
        message = "a password is only sent encrypted: set 'starttls: true', or name no user"
        raise refusal(nearest(tree, "notify", "smtp", "user"), message)


def _hooks(config: Config) -> Sequence[Channel]:
    return (Hook(argv=config.notify.hook),) if config.notify.hook else ()


SMTP: Final = NotifierKind(make=_mails, check=_check_login)
HOOK: Final = NotifierKind(make=_hooks)
