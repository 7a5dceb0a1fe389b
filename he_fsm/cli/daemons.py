"""The daemons' entry points: without the packages of the extra `daemon` they say so, and end."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import click

from he_fsm.errors import MissingExtraError


def load(name: str, module: str, extra: str = "daemon") -> ModuleType:
    """
    Load what the command *name* is made of; *extra* is what has the packages that it needs.

    Raises:
        MissingExtraError: a package that it needs is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.startswith("he_fsm"):
            raise
        raise MissingExtraError.of(missing, extra, name) from error


def agent() -> None:
    """Run `he-fsm-agent`."""
    _run("he-fsm-agent", "he_fsm.runtime.agent")


def broker() -> None:
    """Run `he-fsm-broker`."""
    _run("he-fsm-broker", "he_fsm.runtime.broker.main")


def _run(name: str, module: str) -> None:
    try:
        main = load(name, module).main
    except MissingExtraError as error:
        click.echo(f"{name}: {error}", err=True)
        sys.exit(2)
    main()
