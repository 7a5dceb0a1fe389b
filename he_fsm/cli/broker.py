"""How commands reach this host's broker."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

import click

from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.config import DEFAULT_PATH, load_config

Command = TypeVar("Command", bound=Callable[..., Any])
DEFAULT_SOCKET = Path("/run/he-fsm/broker.sock")
# How long a command waits for the broker's answer.
TIMEOUT_S = 10.0
# Under this name, what `--config` says is kept beside the context of a command.
CONFIG = "he_fsm.config"


def broker_option(command: Command) -> Command:
    """Add `--socket` and `--config`, and pass the broker's client to the command as `broker`."""
    command = click.option(
        "--socket",
        "broker",
        type=click.Path(path_type=Path),
        callback=_client,
        metavar="FILE",
        help=f"The broker's socket; {DEFAULT_SOCKET} where nothing else is said.",
    )(command)
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        # Read before the socket, whose path the configuration names.
        is_eager=True,
        expose_value=False,
        callback=_keep,
        metavar="FILE",
        help="Take the socket from this configuration.",
    )(command)


def _keep(ctx: click.Context, _: click.Parameter, path: Optional[Path]) -> None:
    ctx.meta[CONFIG] = path


def config_path() -> Optional[Path]:
    """Return the configuration that the command's `--config` names, or else the usual one."""
    named: Optional[Path] = click.get_current_context().meta[CONFIG]
    if named is not None:
        return named
    return DEFAULT_PATH if DEFAULT_PATH.exists() else None


def _client(ctx: click.Context, _: click.Parameter, path: Optional[Path]) -> BrokerClient:
    config: Optional[Path] = ctx.meta[CONFIG]
    if path is None and config is not None:
        path = load_config(config).broker_socket
    return BrokerClient(str(path or DEFAULT_SOCKET), TIMEOUT_S)
