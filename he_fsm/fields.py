"""What the fields of a policy may be: each check names the field that it refuses."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import attrs

from he_fsm.errors import PolicyError

# What becomes of the engine when its host is shut down or rebooted in order.
OnShutdown = Literal["migrate", "stop", "freeze"]
_ON_SHUTDOWN: Final = get_args(OnShutdown)


def positive(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    """
    Check that a number is above 0.

    Raises:
        PolicyError: it is not.
    """
    if not value > 0:
        msg = f"{attribute.name} must be above 0, got {value!r}"
        raise PolicyError(msg, attribute.name)


def not_negative(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    """
    Check that a number is 0 or more.

    Raises:
        PolicyError: it is not.
    """
    if not value >= 0:
        msg = f"{attribute.name} must be 0 or more, got {value!r}"
        raise PolicyError(msg, attribute.name)


def a_way_to_shut_down(_: Any, attribute: attrs.Attribute[Any], value: str) -> None:
    """
    Check that a word is one of `OnShutdown`.

    Raises:
        PolicyError: it is not.
    """
    if value not in _ON_SHUTDOWN:
        msg = f"{attribute.name} must be one of {', '.join(_ON_SHUTDOWN)}, got {value!r}"
        raise PolicyError(msg, attribute.name)
