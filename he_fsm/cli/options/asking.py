"""
Commands that destroy something: `--yes`, `--dry-run`, and one question before the deed.

Such a command finds out first what it would do, and refuses what can't be done. Then it asks
`Consent.given` once, and looks again before it acts: minutes may have passed on the terminal.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import Any, Callable, TypeVar, cast

import attrs
import click

from he_fsm.errors import HeFsmError
from he_fsm.words import printable

Command = TypeVar("Command", bound=Callable[..., Any])

YES = "--yes"
DRY_RUN = "--dry-run"


class NotConfirmedError(HeFsmError):
    """Nobody has agreed to what would be lost; nothing was changed."""


@attrs.frozen(kw_only=True)
class Consent:
    """Whether a person agrees: *is_yes* beforehand, *is_rehearsal* wants to read it alone."""

    is_yes: bool = False
    is_rehearsal: bool = False

    def given(self, deed: str, details: Sequence[str] = ()) -> bool:
        """
        Return True where the command is to act; False where it was only to say what it would do.

        On a terminal, the question is asked on standard error, so that it is also read where
        standard output goes to a file.

        Args:
            deed: what would be done, where, and what would be lost; it reads after "would ".
            details: more lines, for what one sentence can't say.

        Raises:
            NotConfirmedError: the answer was no, or there is no terminal and no `--yes`.
            click.Abort: Ctrl-C or Ctrl-D at the question.
        """
        # Names in it come from other hosts.
        deed = printable(deed)
        if self.is_rehearsal:
            for line in (f"would {deed}", *details):
                click.echo(printable(line))
            return False
        if self.is_yes:
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            msg = f"would {deed}; without a terminal nobody can be asked: add {YES}"
            raise NotConfirmedError(msg)
        for line in (f"This would {deed}.", *details):
            click.echo(printable(line), err=True)
        if not click.confirm("Go on?", default=False, err=True):
            msg = "not confirmed: nothing was changed"
            raise NotConfirmedError(msg)
        return True


# Of commands whose counterpart never asks: `hosted-engine`, as its scripts expect.
AGREED = Consent(is_yes=True)


def destroys(command: Command) -> Command:
    """Add `--yes` and `--dry-run`, and pass them to the command as `consent`."""

    @functools.wraps(command)
    def asking(*words: Any, is_yes: bool, is_rehearsal: bool, **others: Any) -> Any:
        consent = Consent(is_yes=is_yes, is_rehearsal=is_rehearsal)
        return command(*words, consent=consent, **others)

    for option in (
        click.option(
            *(DRY_RUN, "is_rehearsal"),
            is_flag=True,
            help="Say what would be done, and change nothing.",
        ),
        click.option(*(YES, "-y", "is_yes"), is_flag=True, help="Do not ask; scripts need it."),
    ):
        asking = option(asking)
    return cast("Command", asking)
