"""What people are told of: one event that nobody takes does not keep back the others."""

from __future__ import annotations

import pytest

from he_fsm import tick
from he_fsm.effects import Alarm
from he_fsm.errors import BrokerError, RefusedRequestError
from he_fsm.runtime.agent.telling import Telling
from he_fsm.runtime.ports import Event
from he_fsm.states.names import State
from he_fsm.testing.scenes import Scene

ME = tick.Identity(host_id=1, hostname="one.example")
NAMES = ("first", "second", "third")


@pytest.fixture
def telling() -> Telling:
    effects = tuple(Alarm(name, "a text") for name in NAMES)
    telling = Telling()
    telling.take(
        Scene(state=State.ENGINE_DOWN).step()._replace(edge=None, effects=effects), ME, now=100.0
    )
    return telling


def test_an_event_that_the_broker_refuses_does_not_keep_back_the_others(telling: Telling) -> None:
    told: list[str] = []

    def tell(event: Event) -> None:
        if event.alarm == "second":
            msg = "400: no such alarm"
            raise RefusedRequestError(msg)
        told.append(event.alarm)

    assert telling.hand_over(tell) is None
    assert told == ["first", "third"]
    assert not telling.waits


def test_what_a_broker_that_is_away_was_not_told_is_told_later(telling: Telling) -> None:
    away = BrokerError("nobody answers")

    def refuse(_: Event) -> None:
        raise away

    assert telling.hand_over(refuse) is away
    told: list[str] = []
    assert telling.hand_over(lambda event: told.append(event.alarm)) is None
    assert told == list(NAMES)
