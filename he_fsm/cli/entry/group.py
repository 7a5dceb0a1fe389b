"""`he-fsm` as a group of commands, each of which is imported when it is called."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Optional

import click
from click.shell_completion import CompletionItem

from he_fsm import __version__
from he_fsm.cli.entry.usage import ABOUT
from he_fsm.cli.loading import load
from he_fsm.cli.running import HELP_NAMES, Commands

# What the package logs is for daemons, which say where it goes; commands say themselves what is so.
logging.getLogger("he_fsm").addHandler(logging.NullHandler())


class _Commands(Commands):
    """The commands, imported one at a time: the help waits for none of them."""

    # By name of the command: its module, and its line in the help.
    table: Mapping[str, tuple[str, str]]

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        found = self.table.get(cmd_name)
        if found is None:
            return super().get_command(ctx, cmd_name)
        command = getattr(load(f"he-fsm {cmd_name}", found[0]), cmd_name.replace("-", "_"))
        if not isinstance(command, click.Command):
            msg = f"{found[0]}.{cmd_name} is no command"
            raise TypeError(msg)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return what may follow; the commands' lines are known without loading them."""
        found = click.Command.shell_complete(self, ctx, incomplete)
        for name, (_, line) in self.table.items():
            if name.startswith(incomplete):
                found.append(CompletionItem(name, help=line))
        return found

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.table.items()])


def group_of(table: Mapping[str, tuple[str, str]]) -> click.Group:
    """Return the command line; *table*: each command's module and line in the help, by name."""
    made = _Commands("cli", help=ABOUT, callback=_nothing, context_settings=HELP_NAMES)
    made.table = table
    version = click.version_option(__version__, "-V", "--version", prog_name="he-fsm")
    with_version: click.Group = version(made)
    return with_version


def _nothing() -> None:
    """Do nothing before a command."""
