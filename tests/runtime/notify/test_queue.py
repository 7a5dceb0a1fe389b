"""Which events are told, and the queues that keep the loop from waiting."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import Callable, Optional

import attrs
import pytest

from he_fsm.errors import NotifyError
from he_fsm.runtime.notify.notifier import QueuedNotifier, send_test
from he_fsm.runtime.notify.rules import Rule, is_failed_start, is_migration
from he_fsm.runtime.ports import Channel, Event, Message
from he_fsm.states.table import TABLE
from he_fsm.testing.waiting import until

Make = Callable[..., QueuedNotifier]


def event(source: str = "EngineDown", to: str = "EngineStarting", edge: str = "best_host") -> Event:
    return Event(
        subject=f"{source}-{to}",
        host_id=1,
        hostname="node1.example.com",
        source=source,
        to=to,
        edge=edge,
        why="it is the best host",
    )


@attrs.define(eq=False)
class Recorder:
    """A channel that keeps what it is told, fails when it is told to, and can be held up."""

    name: str = "recorder"
    patience_s: float = 3600.0
    fails: Optional[Exception] = None
    tried: int = 0
    told: list[Event] = attrs.field(factory=list)
    lets_go: threading.Event = attrs.field(factory=threading.Event)

    def __attrs_post_init__(self) -> None:
        self.lets_go.set()

    def send(self, message: Message) -> None:
        self.tried += 1
        self.lets_go.wait(60)
        if self.fails is not None:
            raise self.fails
        self.told.append(message.event)

    def probe(self, within_s: float) -> None:
        del within_s
        if self.fails is not None:
            raise self.fails


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(clock: Clock) -> Iterator[Make]:
    made: list[QueuedNotifier] = []

    def one(*channels: Channel, transitions: str = ".", queue_max: int = 100) -> QueuedNotifier:
        rule = Rule(transitions)
        made.append(QueuedNotifier(channels, rule, queue_max=queue_max, retry_s=0.01, clock=clock))
        return made[-1]

    yield one
    for notifier in made:
        notifier.close(0.0)


def test_an_event_is_told_by_every_channel(make: Make) -> None:
    first, second = Recorder("first"), Recorder("second")
    make(first, second).tell(event())
    until(lambda: first.told and second.told)
    assert first.told == second.told == [event()]


def test_telling_does_not_wait_for_a_channel(make: Make) -> None:
    slow, quick = Recorder("slow"), Recorder("quick")
    slow.lets_go.clear()
    notifier = make(slow, quick)
    began_at = time.monotonic()
    for number in range(50):
        notifier.tell(event(edge=f"edge{number}"))
    assert time.monotonic() - began_at < 5
    until(lambda: len(quick.told) == 50)
    assert slow.told == []
    slow.lets_go.set()
    until(lambda: len(slow.told) == 50)
    assert slow.told == quick.told


def test_the_same_within_a_minute_is_told_once(make: Make, clock: Clock) -> None:
    channel = Recorder()
    notifier = make(channel)
    for _ in range(10):
        notifier.tell(event())
        notifier.tell(attrs.evolve(event(), why="its score is 2399"))
        notifier.tell(event("EngineStarting", "EngineDown", "lease_held"))
        clock.now += 5.9
    clock.now += 2.0
    notifier.tell(event())
    notifier.close()
    assert channel.told == [
        event(),
        event("EngineStarting", "EngineDown", "lease_held"),
        event(),
    ]


def alarm(name: str = "engine-down", told: int = 0, why: str = "it runs nowhere") -> Event:
    return Event(
        subject=f"Alarm: {name}",
        host_id=1,
        hostname="node1.example.com",
        alarm=name,
        told=told,
        why=why,
    )


def test_an_alarm_that_is_repeated_or_says_something_new_is_no_duplicate(make: Make) -> None:
    channel = Recorder()
    notifier = make(channel)
    said = [
        alarm(),
        alarm("hands-off"),
        alarm(told=1),
        alarm(told=1, why="host 2 is in local maintenance"),
        attrs.evolve(alarm(), is_over=True),
    ]
    for each in (*said, *said):
        notifier.tell(each)
    notifier.close()
    assert channel.told == said


def test_an_alarm_is_told_whatever_transitions_are_wanted(make: Make) -> None:
    for rule in (Rule(), Rule("nothing at all")):
        assert rule.wants(alarm())
    channel = Recorder()
    notifier = make(channel, transitions="nothing at all")
    notifier.tell(alarm())
    notifier.close()
    assert channel.told == [alarm()]


def test_an_alarm_that_is_given_up_is_named(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    notifier = make(Recorder(fails=NotifyError("no recipient", can_retry=False)))
    notifier.tell(alarm())
    notifier.close()
    assert caplog.messages == [
        "recorder: not sent and given up: Alarm: engine-down of node1.example.com: no recipient"
    ]


def test_a_full_queue_loses_its_oldest_and_says_so_once(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    channel = Recorder()
    channel.lets_go.clear()
    notifier = make(channel, queue_max=3)
    notifier.tell(event(edge="0"))
    until(lambda: channel.tried)
    for number in range(1, 10):
        notifier.tell(event(edge=str(number)))
    channel.lets_go.set()
    until(lambda: len(channel.told) == 4)
    # The first was on its way already.
    assert [told.edge for told in channel.told] == ["0", "7", "8", "9"]
    assert caplog.messages == ["recorder: more than 3 messages wait; the oldest are not sent"]


def test_a_channel_that_fails_is_tried_again(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    channel = Recorder(fails=NotifyError("mail.example.com:25: refused"))
    make(channel).tell(event())
    until(lambda: channel.tried >= 3)
    channel.fails = None
    until(lambda: channel.told)
    until(lambda: len(caplog.messages) == 2)
    assert caplog.messages[0] == "recorder: mail.example.com:25: refused; tried again in 0.01 s"
    assert caplog.messages[1].startswith("recorder: messages are sent again (after 0 s, ")


def test_patience_ends_with_one_line(
    make: Make, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    channel = Recorder(fails=NotifyError("refused"))
    notifier = make(channel)
    notifier.tell(event())
    until(lambda: channel.tried >= 2)
    clock.now += 3601.0
    given_up = (
        "recorder: not sent and given up: EngineDown-EngineStarting of node1.example.com: refused"
    )
    until(lambda: given_up in caplog.messages)
    assert caplog.messages.count(given_up) == 1
    channel.fails = None
    notifier.tell(event())
    until(lambda: channel.told)


def test_what_no_try_can_mend_is_tried_once(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    channel = Recorder(fails=NotifyError("no such recipient", can_retry=False))
    notifier = make(channel)
    notifier.tell(event())
    notifier.close()
    assert channel.tried == 1
    assert len(caplog.messages) == 1


def test_a_bug_in_a_channel_silences_nobody(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    broken, well = Recorder("broken", fails=ZeroDivisionError()), Recorder("well")
    notifier = make(broken, well)
    notifier.tell(event())
    until(lambda: well.told)
    until(lambda: len(caplog.messages) == 2)
    broken.fails = None
    notifier.tell(event(edge="another"))
    until(lambda: broken.told)


def test_closing_tells_what_is_queued(make: Make) -> None:
    channel = Recorder()
    notifier = make(channel)
    for number in range(20):
        notifier.tell(event(edge=str(number)))
    notifier.close()
    assert len(channel.told) == 20


def test_closing_waits_for_no_channel_for_ever(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    channel = Recorder(fails=NotifyError("refused"))
    notifier = make(channel)
    notifier.tell(event())
    until(lambda: channel.tried)
    began_at = time.monotonic()
    notifier.close(wait_s=0.1)
    assert time.monotonic() - began_at < 5
    assert "recorder: 1 messages are not sent: stopped" in caplog.messages


def test_what_nobody_asked_for_is_not_told(make: Make) -> None:
    channel = Recorder()
    notifier = make(channel, transitions="maintenance")
    notifier.tell(event())
    notifier.tell(event("EngineDown", "LocalMaintenance", "maintenance_set"))
    notifier.close()
    assert [told.to for told in channel.told] == ["LocalMaintenance"]


def test_without_channels_nobody_is_told(make: Make) -> None:
    make().tell(event())


@pytest.mark.parametrize(
    ("transitions", "wanted"),
    [
        ("maintenance|start|stop|migrate|up|down", True),
        ("ENGINESTARTING", True),
        ("^EngineDown-", True),
        ("Down-EngineS", True),
        ("maintenance", False),
        ("^EngineStarting", False),
    ],
)
def test_transitions_are_chosen_by_an_expression(transitions: str, wanted: bool) -> None:
    assert Rule(transitions).wants(event()) is wanted


def test_without_an_expression_the_table_chooses() -> None:
    rule = Rule()
    assert rule.wants(event())
    assert not rule.wants(attrs.evolve(event(), notifies=False))


def test_an_expression_chooses_among_all_transitions() -> None:
    unmarked = attrs.evolve(event("Unknown", "EngineDown", "vm_absent"), notifies=False)
    assert Rule("unknown").wants(unmarked)


def test_failed_starts_and_migrations_are_always_told() -> None:
    rule = Rule("nothing at all")
    told = {
        (edge.source.value, edge.name)
        for edges in TABLE.values()
        for edge in edges
        if rule.wants(event(edge.source.value, edge.to.value, edge.name))
    }
    assert {
        ("EngineStarting", "start_failed"),
        ("EngineStarting", "last_start_failed"),
        ("EngineStarting", "start_timed_out"),
        ("EngineUp", "better_host"),
        ("EngineMigratingAway", "left"),
        ("EngineMigratingAway", "migration_failed"),
        ("EngineMigratingAway", "migration_timed_out"),
    } <= told
    assert ("EngineStarting", "health_good") not in told
    assert ("EngineStarting", "lease_held") not in told


def test_of_a_series_that_the_decision_tells_no_more_people_hear_where_they_want_to() -> None:
    failed = attrs.evolve(event("EngineStarting", "EngineDown", "start_failed"), notifies=False)
    assert not Rule().wants(failed)
    assert not Rule("maintenance").wants(failed)
    assert Rule("starting-enginedown").wants(failed)


def test_kinds_of_events_do_not_overlap() -> None:
    assert is_failed_start(event("EngineStarting", "EngineDown", "start_failed"))
    assert not is_migration(event("EngineStarting", "EngineDown", "start_failed"))
    assert is_migration(event("EngineUp", "EngineMigratingAway", "better_host"))


def test_an_expression_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'\(' is no regular expression"):
        Rule("(")


def test_a_test_message_says_what_each_channel_says() -> None:
    well, broken = Recorder("mail"), Recorder("hook", fails=NotifyError("no such command"))
    assert send_test((well, broken), 3, "node3") == {"mail": None, "hook": "no such command"}
    assert well.told[0].hostname == "node3"
    assert "nothing has happened" in well.told[0].why
