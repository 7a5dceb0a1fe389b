"""Every error that he_fsm raises on purpose."""

from __future__ import annotations


class HeFsmError(Exception):
    """Something outside this process is wrong, or what was given can't be used."""


class RecordTooLongError(HeFsmError):
    """
    A record does not fit the 512 bytes that machines read.

    *field* names the field that has to become shorter.
    """

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class RecordFieldError(HeFsmError):
    """A record can't be written: *field* holds what no reader would take for what it is."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class PolicyError(HeFsmError):
    """
    A policy is unsafe or contradicts itself.

    *rule* is the name of the inequality that fails, *excess_s* by how many seconds
    (0.0 where the rule is not about time).
    """

    def __init__(self, message: str, rule: str, excess_s: float = 0.0) -> None:
        super().__init__(message)
        self.rule = rule
        self.excess_s = excess_s


class ScenarioError(HeFsmError):
    """A scenario file can't be used; the message names file:line:column, key and expectation."""


class MissingExtraError(HeFsmError):
    """An optional package is needed for what was asked; the message says how to install it."""
