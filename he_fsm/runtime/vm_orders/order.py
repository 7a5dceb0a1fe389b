"""One order, as it goes from the command over the broker to the agent."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Optional

import attrs

from he_fsm.errors import HeFsmError
from he_fsm.metadata.layout import HOST_ID_MAX


class Wanted(enum.Enum):
    """What is to become of the VM on this host."""

    START = "start"
    START_PAUSED = "start-paused"
    SHUT_DOWN = "shutdown"
    POWER_OFF = "poweroff"
    MOVE = "move"


@attrs.frozen(kw_only=True)
class VmOrder:
    """
    What somebody wants of the agent.

    `number` grows with every order, also when the broker was started anew between two. `by` is the
    user id of who gave it. `to` is the host to which the VM moves; None: it is to move nowhere.
    """

    number: int
    wanted: Wanted
    by: int
    to: Optional[int] = None

    def to_json(self) -> dict[str, Any]:
        """Return the order as a plain object."""
        plain = {"number": self.number, "order": self.wanted.value, "by": self.by}
        return plain if self.to is None else {**plain, "to": self.to}


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
    wanted = wanted_of(plain.get("order"))
    return VmOrder(number=number, wanted=wanted, by=by, to=target_of(wanted, plain.get("to")))


def target_of(wanted: Wanted, to: object) -> Optional[int]:
    """
    Return the host to which an order moves the VM.

    Raises:
        HeFsmError: a move without a host id, or another order with one.
    """
    if (wanted is Wanted.MOVE) != (to is not None):
        msg = f"expected the order {Wanted.MOVE.value!r} with a host id 'to', or another without it"
        raise HeFsmError(msg)
    if to is not None and (not isinstance(to, int) or not 1 <= to <= HOST_ID_MAX):
        msg = f"expected an order with a host id 'to' (1 to {HOST_ID_MAX}), got {to!r}"
        raise HeFsmError(msg)
    return to
