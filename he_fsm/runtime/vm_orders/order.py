"""One order, as it goes from the command over the broker to the agent."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import attrs

from he_fsm.errors import HeFsmError


class Wanted(enum.Enum):
    """What is to become of the VM on this host."""

    START = "start"
    START_PAUSED = "start-paused"
    SHUT_DOWN = "shutdown"
    POWER_OFF = "poweroff"


@attrs.frozen(kw_only=True)
class VmOrder:
    """
    What somebody wants of the agent.

    `number` grows with every order, also when the broker was started anew between two. `by` is the
    user id of who gave it.
    """

    number: int
    wanted: Wanted
    by: int

    def to_json(self) -> dict[str, Any]:
        """Return the order as a plain object."""
        return {"number": self.number, "order": self.wanted.value, "by": self.by}


def wanted_of(word: object) -> Wanted:
    """
    Return what a word orders.

    Raises:
        HeFsmError: it orders nothing.
    """
    for wanted in Wanted:
        if wanted.value == word:
            return wanted
    words = ", ".join(wanted.value for wanted in Wanted)
    msg = f"expected an order ({words}), got {word!r}"
    raise HeFsmError(msg)


def order_of(plain: Mapping[str, Any]) -> VmOrder:
    """
    Read an order.

    Raises:
        HeFsmError: the object is of another form.
    """
    number, by = plain.get("number"), plain.get("by")
    if not isinstance(number, int) or not isinstance(by, int):
        msg = f"expected an order with the integers 'number' and 'by', got {plain!r}"
        raise HeFsmError(msg)
    return VmOrder(number=number, wanted=wanted_of(plain.get("order")), by=by)
