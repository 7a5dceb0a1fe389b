"""What makes a policy unsafe or senseless: fields out of range, and times that do not fit."""

from __future__ import annotations

from collections.abc import Mapping
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


@attrs.frozen
class Inequality:
    """`left` must be below `right` (both in seconds); `says` is the reason, for people."""

    name: str
    says: str
    left: float
    right: float

    @property
    def holds(self) -> bool:
        """Whether the inequality holds."""
        return self.left < self.right

    @property
    def excess_s(self) -> float:
        """By how many seconds it fails; negative: how much room is left."""
        return self.left - self.right


# By the inequality's name: the consequence, the two sides, and the remedy. `{excess}`: by how much
# it fails, in seconds.
_WORDS: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "kill-before-takeover": (
        "a VM may still run {excess} s after others may take its lease",
        "8 x io_timeout + kill_grace",
        "8 x io_timeout + watchdog",
        "Lower kill_grace_s or raise watchdog_s",
    ),
    "silent-hosts-are-dead": (
        "the VM of a host that tells no watchdog's time may run {excess} s too long",
        "8 x io_timeout + kill_grace",
        "8 x io_timeout + watchdog_unsaid",
        "Lower kill_grace_s or raise watchdog_unsaid_s",
    ),
    "two-loops-before-dead": (
        "a host that misses one loop would be taken for dead",
        "2 x loop",
        "dead_after",
        "Lower loop_s or raise dead_after_s",
    ),
    "readings-outlive-a-loop": (
        "every reading would be too old before the next one",
        "loop",
        "reading_age_max",
        "Lower loop_s or raise reading_age_max_s",
    ),
    "stagger-within-liveness": (
        "the first of equal hosts would be given up before the last had its turn",
        "stagger_total",
        "dead_after",
        "Lower stagger_total_s or raise dead_after_s",
    ),
    "backoff-grows": (
        "the first wait after a failed migration would be longer than the longest",
        "migration_backoff",
        "migration_backoff_max",
        "Lower migration_backoff_s or raise migration_backoff_max_s",
    ),
    "drain-is-short": (
        "an administrator who drains a host would wait longer than the engine's own moves",
        "drain_retry",
        "migration_backoff_max",
        "Lower drain_retry_s or raise migration_backoff_max_s",
    ),
    "block-grows": (
        "the first block of a host would be longer than the longest",
        "block",
        "block_max",
        "Lower block_s or raise block_max_s",
    ),
    "start-limit-grows": (
        "the first limit of a start would be longer than the longest",
        "start_timeout",
        "start_timeout_max",
        "Lower start_timeout_s or raise start_timeout_max_s",
    ),
    "stop-before-power-off": (
        "a guest would never be asked to shut down with its host",
        "shutdown_last",
        "shutdown_stop",
        "Lower shutdown_last_s or raise shutdown_stop_s",
    ),
    "alarms-grow-rare": (
        "the first pause between two alarms would be longer than the longest",
        "alarm_repeat",
        "alarm_repeat_max",
        "Lower alarm_repeat_s or raise alarm_repeat_max_s",
    ),
}


def failure_text(name: str, left_s: float, right_s: float) -> str:
    """
    Return what an inequality that fails means, its numbers, and what to change.

    Args:
        name: of the inequality.
        left_s: what should be below *right_s*, and is not.
    """
    consequence, left, right, remedy = _WORDS[name]
    return (
        f"{consequence.format(excess=f'{left_s - right_s:g}')}: {left} = {left_s:g} s must be below"
        f" {right} = {right_s:g} s. {remedy}"
    )


def has_words(name: str) -> bool:
    """Return whether an inequality has words of its own for its failure."""
    return name in _WORDS
