"""The daemons' command lines: `he-fsm-agent` and `he-fsm-broker`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Callable, Final, TypeVar

import click

from he_fsm import __version__
from he_fsm.cli.loading import load
from he_fsm.cli.options.config import config_option
from he_fsm.cli.running import HELP_NAMES, Stoppable, run
from he_fsm.runtime.config import load_config

_AGENT = "he-fsm-agent"
_BROKER = "he-fsm-broker"
Command = TypeVar("Command", bound=Callable[..., Any])

# The agent alone can be superseded.
_SUPERSEDED = "  3  superseded: a newer release writes the whiteboard\n"


def _statuses(name: str) -> str:
    """Return the exit statuses of one daemon, for its help."""
    return (
        "\b\nExit statuses:\n"
        "  0  ended by SIGTERM or SIGINT\n"
        "  1  a bug, or something that the system refused; the log says what\n"
        "  2  the configuration or the command line can't be used\n"
        f"{_SUPERSEDED if name == _AGENT else ''}"
        "  4  another process does this for this host already, or its files can't be made\n"
    )


def _daemon(name: str) -> Callable[[Callable[..., None]], click.Command]:
    """Make a function the command line of a daemon, with the options that all daemons have."""

    def made(function: Callable[..., None]) -> click.Command:
        options = (
            config_option,
            click.option(
                "--check-config",
                "only_checks",
                is_flag=True,
                help="Read the configuration, say whether it can be used, and end.",
            ),
            click.version_option(__version__, "-V", "--version", prog_name=name),
        )
        for option in reversed(options):
            function = option(function)
        command = click.command(cls=Stoppable, epilog=_statuses(name), context_settings=HELP_NAMES)
        return command(function)

    return made


@_daemon(_AGENT)
@click.option(
    "--once",
    is_flag=True,
    help="Look once, do what follows, print what was decided as JSON, stop, and end.",
)
def _agent(path: Path, only_checks: bool, once: bool) -> None:
    """Keep the engine running, together with the agents of the other hosts."""
    daemon = load(_AGENT, "he_fsm.runtime.agent.main")
    config = load_config(path)
    if only_checks:
        host, policy = config.host.id, config.policy.name
        click.echo(f"{path}: host {host}, policy {policy}: OK")
        return
    sys.exit(daemon.run(path, config, once=once))


@_daemon(_BROKER)
def _broker(path: Path, only_checks: bool) -> None:
    """Serve storage, leases, monitors and notifications of this host to its agent and tools."""
    daemon = load(_BROKER, "he_fsm.runtime.broker.main")
    config = load_config(path)
    if only_checks:
        click.echo(f"{path}: host {config.host.id}: OK")
        return
    sys.exit(daemon.run(path, config))


# What the manual pages are written from.
AGENT_COMMAND: Final = _agent
BROKER_COMMAND: Final = _broker


def agent() -> None:
    """Run `he-fsm-agent`."""
    run(_agent, _AGENT)


def broker() -> None:
    """Run `he-fsm-broker`."""
    run(_broker, _BROKER)
