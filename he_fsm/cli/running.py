"""How every command line ends: one sentence with the program's name, and an exit status."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from he_fsm.cli.exits import STOPPED, UNUSABLE
from he_fsm.errors import HeFsmError


def variable_of(program: str) -> str:
    """Return the variable by which a shell asks a program of click's what may follow."""
    return f"_{program.replace('-', '_')}_COMPLETE".upper()


HELP_NAMES = {"help_option_names": ["-h", "--help"]}


class Stoppable(click.Command):
    """A command that did not fail at what was asked when Ctrl-C ends it."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; say that it was stopped, if it was."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo(f"{ctx.find_root().info_name}: stopped", err=True)
            sys.exit(STOPPED)


class Commands(Stoppable, click.Group):
    """Commands below a command: without one, print the help, whichever release of click is here."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; end after the help if there are none."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()
        return super().parse_args(ctx, args)


def run(command: click.Command, name: str) -> None:
    """Run a command line; whatever can't be used ends with one sentence and exit status 2."""
    try:
        # What a command returns means nothing; a number is the status that it asked for.
        status = command.main(prog_name=name, standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.ClickException as error:
        click.echo(f"{name}: {_sentence(error)}", err=True)
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(f"Try '{error.ctx.command_path} --help'.", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo(f"{name}: stopped", err=True)
        sys.exit(STOPPED)
    except HeFsmError as error:
        if not _completes(name):
            click.echo(f"{name}: {error}", err=True)
        sys.exit(UNUSABLE)
    except OSError as error:
        # The commands name the files that they read and write: this is what was printed. (A reader
        # that has seen enough and closes a pipe is no error; click sees to that.)
        what = "the output" if error.filename is None else os.fsdecode(error.filename)
        click.echo(f"{name}: can't write {what}: {error.strerror}", err=True)
        # What is left over must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(UNUSABLE)


def _completes(name: str) -> bool:
    """Whether a shell asks what may follow: then nothing is written among what somebody types."""
    return variable_of(name) in os.environ


def _sentence(error: click.ClickException) -> str:
    """Return click's message as he_fsm writes its own: without a capital and a full stop."""
    message = error.format_message()
    return f"{message[:1].lower()}{message[1:]}".rstrip(".")
