"""Conditions of questions: when one has a meaning."""

from __future__ import annotations

from typing import Final

from he_fsm.deploy.asking.question import Condition, Machine, Values
from he_fsm.deploy.asking.readers import Value

# What runs under the lease and is no VM; see docs/services.md.
SERVICES: Final = ("command", "systemd")


def when(key: str, *wanted: Value) -> Condition:
    """Return the condition that an earlier answer is one of these."""
    return lambda values, _: values.get(key) in wanted


def unless(key: str, *unwanted: Value) -> Condition:
    """Return the condition that an earlier answer is none of these, or was not asked for."""
    return lambda values, _: values.get(key) not in unwanted


def has_vm(values: Values, _: Machine) -> bool:
    """Whether this deployment makes a VM of its own."""
    return values.get("hypervisor") in ("qemu", "libvirt")
