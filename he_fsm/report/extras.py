"""Check for optional packages, without loading them."""

from __future__ import annotations

import importlib.util

from he_fsm.errors import MissingExtraError


def check_extra(what: str, package: str, extra: str) -> None:
    """
    Check that a package of an extra is installed; *what* needs it.

    Raises:
        MissingExtraError: the package is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError.of(package, extra, what)
