"""Whether an optional package is there, found out without loading it."""

from __future__ import annotations

import importlib.util

from he_fsm.errors import MissingExtraError


def check_extra(what: str, package: str, extra: str) -> None:
    """
    Make sure that a package of an extra is installed; *what* needs it.

    Raises:
        MissingExtraError: it is not.
    """
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError.of(package, extra, what)
