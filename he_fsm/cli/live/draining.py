"""Waiting until a host in local maintenance is empty: with progress, and why it is not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final, Optional

import attrs

from he_fsm.errors import BrokerError
from he_fsm.live.verdict import is_stale
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.states.names import State
from he_fsm.words import span_text

_LOOK_S: Final = 0.5
# States of an agent that keeps its hands off, and of one that has drained its host.
_OFF: Final = State.GLOBAL_MAINTENANCE.value
_EMPTY: Final = State.LOCAL_MAINTENANCE.value


@attrs.frozen
class Progress:
    """Where the drain has come; `is_over`: nothing more is waited for, and how it ended."""

    text: str
    is_over: bool = False
    is_empty: bool = False


def drained(broker: BrokerClient, within_s: float) -> Iterator[Progress]:
    """
    Yield what the agent of this host says, whenever it changes; the last one is over.

    Args:
        broker: of the host that is in local maintenance.
        within_s: how long to wait at most (seconds).
    """
    ends_at = time.monotonic() + within_s
    last = None
    while True:
        now = _look(broker)
        if now.is_over:
            yield now
            return
        if now.text != last:
            last = now.text
            yield now
        if time.monotonic() > ends_at:
            said = f"not empty after {span_text(within_s)}: {now.text}"
            yield Progress(said, is_over=True)
            return
        time.sleep(_LOOK_S)


def _look(broker: BrokerClient) -> Progress:
    try:
        status = broker.status()
    except BrokerError as error:
        # It may be started again.
        return Progress(str(error))
    agent = status["agent"]
    state: Optional[str] = agent.get("state")
    if state is None or is_stale(agent):
        return Progress(
            "the agent of this host does not run: nobody moves the engine", is_over=True
        )
    if state == _EMPTY:
        return Progress("this host is empty", is_over=True, is_empty=True)
    if state == _OFF:
        why = (
            "global maintenance is on: no agent moves the engine (he-fsm maintenance global --off)"
        )
        return Progress(why, is_over=True)
    return Progress(f"{state}: {_unnumbered(str(agent['why']))}")


def _unnumbered(why: str) -> str:
    """Return a reason without what counts on and would be a new line each second."""
    return why.partition(";")[0]
