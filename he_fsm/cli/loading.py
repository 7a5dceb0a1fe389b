"""Loading what needs the packages of an extra."""

from __future__ import annotations

import importlib
from types import ModuleType

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
