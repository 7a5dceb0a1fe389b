"""The option by which commands find a host's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, TypeVar

import click

from he_fsm.runtime.config import DEFAULT_PATH

Command = TypeVar("Command", bound=Callable[..., Any])


def config_option(command: Command) -> Command:
    """Add `--config`, and pass the file's path to the command as `path`."""
    return click.option(
        "--config",
        "path",
        type=click.Path(path_type=Path),
        default=DEFAULT_PATH,
        show_default=True,
        metavar="FILE",
        help="The configuration of this host.",
    )(command)
