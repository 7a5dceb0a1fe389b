"""The agent's loop in this process, with a real storage worker, leases, hypervisor and VM."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

import attrs
import pytest

from he_fsm import __version__, tick
from he_fsm.errors import BrokerError, HeFsmError, HypervisorError, StorageError
from he_fsm.memory import Memory
from he_fsm.metadata import encode_global
from he_fsm.metadata.policy_print import policy_print
from he_fsm.metadata.told import told_policy_print, told_release
from he_fsm.remembered import FailedStarts
from he_fsm.runtime import broker_parts, parts
from he_fsm.runtime.agent.loop import Loop
from he_fsm.runtime.agent.main import identity_of
from he_fsm.runtime.agent.memory_file import MemoryFile
from he_fsm.runtime.broker.metrics.families import metrics_of
from he_fsm.runtime.broker.protocol import BrokerFacts, EngineHealth
from he_fsm.runtime.broker.service import BrokerService
from he_fsm.runtime.config import load_config
from he_fsm.runtime.hypervisors.process.faults import Faults
from he_fsm.runtime.hypervisors.process.vm.witness import read_log
from he_fsm.runtime.ports import Event
from he_fsm.runtime.service.clocks import boot_time
from he_fsm.runtime.vm_orders.order import VmOrder
from he_fsm.snapshot import Health, OwnerState, VmState
from he_fsm.states.names import State
from he_fsm.testing.waiting import until
from tests.runtime.cluster import Cluster, ClusterHost, whiteboard_hung

# So long that nothing here is done by the next loop: only by an event, or by a time to wake at.
LOOP_S = 60.0


class Switched:
    """The broker's service, which can be away, and counts what it is asked."""

    def __init__(self, service: BrokerService) -> None:
        self.service = service
        self.is_away = False
        # Takes no events.
        self.is_deaf = False
        # What the health page last said, and when; None: as it is.
        self.page: Optional[tuple[Health, float]] = None
        # Who holds the engine's lease; None: as it is.
        self.owner: Optional[int] = None
        # Refuses to write slot 0.
        self.is_read_only = False
        # Called when the facts have been read.
        self.after_facts: Optional[Callable[[], None]] = None
        self.asked: list[str] = []
        self.told: list[Event] = []

    def _ask(self, what: str) -> BrokerService:
        self.asked.append(what)
        if self.is_away:
            msg = "the broker does not answer"
            raise BrokerError(msg)
        return self.service

    def facts(self) -> BrokerFacts:
        facts = self._ask("facts").facts()
        if self.page is not None:
            health, at = self.page
            engine = EngineHealth(health=health, age_s=time.monotonic() - at)
            facts = attrs.evolve(facts, engine=engine)
        if self.owner is not None and facts.leases is not None:
            view = attrs.evolve(
                facts.leases.view, owner=self.owner, owner_state=OwnerState.LIVE, free_at=None
            )
            facts = attrs.evolve(facts, leases=attrs.evolve(facts.leases, view=view))
        if self.after_facts is not None:
            self.after_facts()
        return facts

    def join(self) -> None:
        self._ask("join").join()

    def whiteboard(self) -> bytes:
        return self._ask("whiteboard").whiteboard()

    def write_slot(self, block: bytes) -> None:
        self._ask("write_slot").write_slot(block)

    def mend_global(self, maintenance: bool) -> bool:
        if self.is_read_only:
            msg = "slot 0 can't be written"
            raise StorageError(msg)
        return self._ask("mend_global").mend_global(maintenance)

    def report(self, report: dict[str, Any]) -> tuple[VmOrder, ...]:
        return self._ask("report").report(report)

    def tell(self, event: Event) -> None:
        if self.is_deaf:
            msg = "not now"
            raise BrokerError(msg)
        self._ask("tell").tell(event)
        self.told.append(event)

    def wake(self, after: int, timeout_s: float) -> int:
        return self.service.wake(after, timeout_s)

    def leave(self) -> None:
        self._ask("leave").leave()


class Host:
    """One host whose loop a test drives, by hand or by a thread as the agent does."""

    def __init__(self, cluster: Cluster, host: ClusterHost) -> None:
        self.cluster, self.host = cluster, host
        self.config = load_config(host.path)
        self.service = broker_parts.make_service(self.config)
        self.broker = Switched(self.service)
        until(self.reads)
        # For how long this host was suspended, by the clock that counts that.
        self.slept_s = 0.0
        self.loop = self.make_loop()
        self.woken = threading.Event()
        self._ended = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def reads(self) -> bool:
        try:
            self.service.whiteboard()
        except StorageError:
            return False
        return True

    def make_loop(self) -> Loop:
        """Return a new agent's loop."""
        return Loop(
            identity=tick.Identity(host_id=1, hostname="host1"),
            policy=self.config.policy,
            broker=self.broker,
            hypervisor=parts.make_hypervisor(self.config),
            memory_file=MemoryFile(self.config.state_dir / "memory.json"),
            boot_clock=lambda: boot_time() + self.slept_s,
        )

    def run(self) -> None:
        """Look as the agent does: at the time that the loop says, or when something happens."""
        self.loop.hypervisor.watch(self.woken.set)
        self.service.on_change(self.woken.set)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            self.woken.clear()
            wake_at = self.loop.look()
            self.woken.wait(max(0.0, wake_at - time.monotonic()))

    def looks_until(self, condition: Callable[[], object]) -> None:
        """Look by hand, again and again."""

        def holds() -> object:
            self.loop.look()
            return condition()

        until(holds)

    @property
    def state(self) -> State:
        return self.loop.memory.state

    def words(self) -> list[str]:
        return [line.word for line in read_log(self.cluster.shared / "witness")]

    def close(self) -> None:
        self._ended.set()
        self.woken.set()
        if self._thread is not None:
            self._thread.join()
        self.service.on_change(None)
        self.loop.hypervisor.close()
        self.service.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, ids=(1,))
    yield cluster
    cluster.tear_down()


@pytest.fixture
def make(cluster: Cluster) -> Iterator[Callable[..., Host]]:
    hosts: list[Host] = []

    def make(**policy: float) -> Host:
        cluster.hosts[1].configure(policy=policy, storage={"deadline": 2.0})
        hosts.append(Host(cluster, cluster.hosts[1]))
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()


@pytest.fixture
def host(make: Callable[..., Host]) -> Host:
    """A host that is looked after by hand."""
    return make(loop_s=2.5, dead_after_s=6.0, settle_loops=0.1)


@pytest.fixture
def slow(make: Callable[..., Host]) -> Host:
    """A host whose loop is long."""
    return make(
        loop_s=LOOP_S, dead_after_s=2.5 * LOOP_S, reading_age_max_s=2 * LOOP_S, settle_loops=0.001
    )


def goes_up(host: Host) -> None:
    host.looks_until(lambda: host.state is State.ENGINE_UP)


# By events.


def test_a_killed_vm_is_started_again_by_the_event(slow: Host) -> None:
    slow.run()
    until(lambda: slow.words() == ["start"])
    record = slow.host.vm()
    assert record is not None
    slow.loop.hypervisor.observe()
    os.kill(record.pid, signal.SIGKILL)
    until(lambda: slow.words() == ["start", "start"])
    first, second = read_log(slow.cluster.shared / "witness")
    assert second.at - first.at < LOOP_S / 2


def test_a_flag_is_met_at_once(slow: Host) -> None:
    slow.run()
    until(lambda: slow.state is State.ENGINE_STARTING)
    slow.service.maintenance(everywhere=True)
    until(lambda: slow.state is State.GLOBAL_MAINTENANCE)
    slow.service.maintenance(everywhere=False)
    until(lambda: slow.state in (State.ENGINE_STARTING, State.ENGINE_UP))


# By hand.


def test_a_lone_host_publishes_starts_and_tells(host: Host) -> None:
    first = time.monotonic()
    wake_at = host.loop.look()
    assert host.state is State.ENGINE_DOWN
    assert first < wake_at <= time.monotonic() + host.loop.policy.loop_s
    goes_up(host)
    record = host.cluster.read().records[1]
    assert (record.score, record.stopped, record.hostname) == (2400, False, "host1")
    assert "state=EngineUp" in record.text
    report = host.service.last_report()
    assert report["state"] == "EngineUp"
    assert report["loop_s"] == host.loop.policy.loop_s
    assert [(event["source"], event["to"]) for event in report["events"]][-1] == (
        "EngineStarting",
        "EngineUp",
    )
    told = {(event.source, event.to): event.notifies for event in host.broker.told}
    assert told["EngineStarting", "EngineUp"]
    # Every edge is told of, for an administrator's own choice.
    assert told["Unknown", "EngineDown"] is False
    assert host.loop.machine.state == "EngineUp"
    seen = report["engine_seen"]
    assert (seen["host"], seen["condition"], seen["saw_change"]) == (1, "good", True)
    assert 0 <= seen["for_s"] <= time.monotonic() - first


def test_the_page_of_the_vm_that_died_says_nothing_of_the_next_one(host: Host) -> None:
    goes_up(host)
    host.broker.page = (Health.GOOD, time.monotonic())
    record = host.host.vm()
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)
    host.looks_until(lambda: host.words() == ["start", "start"])
    host.loop.look()
    watch = host.loop.memory.vm
    assert watch is not None
    assert not watch.was_good
    assert host.state is State.ENGINE_STARTING
    host.broker.page = (Health.GOOD, time.monotonic())
    goes_up(host)


def test_local_maintenance_without_an_engine(host: Host) -> None:
    host.service.maintenance(local=True)
    host.loop.look()
    assert host.state is State.LOCAL_MAINTENANCE
    assert host.loop.score == 0
    assert host.cluster.read().records[1].local_maintenance
    host.service.maintenance(local=False)
    host.looks_until(lambda: host.state is State.ENGINE_DOWN)


def test_storage_that_hangs_is_said_within_one_look_and_is_over_when_it_is(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "he_fsm")
    goes_up(host)
    vm = host.host.vm()
    with whiteboard_hung(host.cluster):
        began = time.monotonic()
        host.loop.look()
        # The deadline of each call that meets it; the loop never waits for more.
        assert time.monotonic() - began < 4 * 2.0 + 3.0
        assert host.state is State.UNKNOWN
        host.loop.look()
        said = [line for line in caplog.messages if line.startswith("the whiteboard can't be read")]
        assert len(said) == 1
        assert any("did not answer within 2 s" in line for line in caplog.messages)
    goes_up(host)
    assert host.host.vm() == vm
    assert any("the whiteboard can be read again" in line for line in caplog.messages)


def test_a_broker_that_is_away_is_asked_once_a_pass(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    goes_up(host)
    host.service.maintenance(local=True)
    host.loop.look()
    readings = host.loop._sight._readings
    host.broker.is_away = True
    host.broker.asked.clear()
    caplog.clear()
    host.loop.look()
    # To Unknown, and once more there.
    assert host.broker.asked == ["facts", "facts"]
    assert host.state is State.UNKNOWN
    host.loop.look()
    assert [line for line in caplog.messages if "does not answer" in line] == [
        "the broker does not answer"
    ]
    # Flags and readings are still known, and the readings grow old.
    facts = host.loop._sight.look(host.loop.policy)
    assert facts.local_maintenance
    assert readings is not None
    assert facts.readings.gateway.value == readings.gateway.value
    assert facts.readings.gateway.age_s > readings.gateway.age_s
    host.service.maintenance(local=False)
    host.broker.is_away = False
    goes_up(host)


def test_what_could_not_be_told_is_told_later(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    host.broker.is_deaf = True
    goes_up(host)
    assert host.broker.told == []
    assert sum("people are not told yet" in line for line in caplog.messages) == 1
    host.broker.is_deaf = False
    host.loop.look()
    edges = [(event.source, event.to) for event in host.broker.told]
    assert edges[-2:] == [("EngineDown", "EngineStarting"), ("EngineStarting", "EngineUp")]
    host.loop.look()
    assert len(host.broker.told) == len(edges)


def test_a_hypervisor_that_does_not_answer_is_unknown(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    goes_up(host)
    Faults(host.host.run_dir).set(hypervisor="lost")
    host.loop.look()
    host.loop.look()
    assert host.state is State.UNKNOWN
    assert caplog.messages.count("the hypervisor does not answer") == 1
    assert host.cluster.read().records[1].score == 0
    Faults(host.host.run_dir).set(hypervisor="ok")
    goes_up(host)


def test_a_failed_start_survives_the_agent(host: Host) -> None:
    Faults(host.host.run_dir).set(starts="fail 1")
    host.looks_until(lambda: host.loop.memory.failed.count == 1)
    assert host.make_loop().memory.failed.count == 1
    host.loop.look()
    assert host.loop.score == 2350


def test_the_record_tells_the_fingerprint_of_the_policy_in_force(host: Host) -> None:
    def told() -> Optional[str]:
        record = host.cluster.read().records[1]
        return told_policy_print(record.host_id, record.timestamp, record.text)

    for policy in (host.config.policy, attrs.evolve(host.config.policy, migration_threshold=7)):
        host.loop.reload(identity_of(attrs.evolve(host.config, policy=policy)), policy)
        host.looks_until(lambda policy=policy: told() == policy_print(policy))  # type: ignore[misc]


def test_the_record_tells_the_agents_release(host: Host) -> None:
    def told() -> Optional[str]:
        record = host.cluster.read().records[1]
        return told_release(record.host_id, record.timestamp, record.text)

    host.loop.reload(identity_of(host.config), host.config.policy)
    host.looks_until(lambda: told() == __version__)


def test_a_record_that_can_not_be_made_is_said(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.loop.reload(attrs.evolve(host.loop.identity, hostname="h" * 600), host.loop.policy)
    host.loop.look()
    assert any("this host's record is not written" in line for line in caplog.messages)
    assert 1 not in host.cluster.read().records


def test_a_memory_that_can_not_be_written_is_said_once(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "he_fsm")
    path = host.config.state_dir
    path.rename(path.with_name("gone"))
    host.loop.look()
    host.loop.look()
    assert sum("memory.json" in line for line in caplog.messages) == 1
    path.with_name("gone").rename(path)
    host.loop.look()
    assert "is written again" in caplog.messages[-1]


def test_a_damaged_memory_begins_anew(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    host.config.state_dir.joinpath("memory.json").write_bytes(b"{")
    loop = host.make_loop()
    assert loop.memory == Memory.beginning(loop.memory.since)
    assert loop.memory.failed == FailedStarts()
    assert sum("memory.json is damaged" in line for line in caplog.messages) == 1


def test_another_host_with_this_id_is_said(
    host: Host, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.hosts[1].configure(host={"hostname": "another"})
    other = broker_parts.make_service(load_config(cluster.hosts[1].path))
    try:
        until(lambda: other.facts().leases is not None)
        other.join()
        host.loop.look()
        host.loop.look()
        said = [line for line in caplog.messages if line.startswith("the host id is not taken")]
        assert len(said) == 1
        assert "held by another" in said[0]
        assert "another host holds the id of this one: host 1" in caplog.messages
        assert 1 not in host.cluster.read().records
        other.leave()
        host.loop.look()
        assert 1 in host.cluster.read().records
    finally:
        other.close()


def test_a_board_without_a_flag_keeps_hands_off(host: Host, cluster: Cluster) -> None:
    with (cluster.shared / "whiteboard").open("r+b") as file:
        file.write(bytes(4096))
    host.loop.look()
    assert host.state is State.GLOBAL_MAINTENANCE
    with (cluster.shared / "whiteboard").open("r+b") as file:
        file.write(encode_global(False))
    host.looks_until(lambda: host.state is State.ENGINE_DOWN)


# What people are told.


def told_of(host: Host, *edges: str) -> list[bool]:
    """Return for each time that one of the edges was taken whether people are told of it."""
    return [event.notifies for event in host.broker.told if event.edge in edges]


def test_of_a_series_of_failed_starts_people_are_told_as_the_decision_says(
    make: Callable[..., Host],
) -> None:
    host = make(
        loop_s=2.5,
        dead_after_s=6.0,
        settle_loops=0.1,
        failed_starts_max=1,
        block_s=0.2,
        block_max_s=0.2,
    )
    Faults(host.host.run_dir).set(starts="fail 2")
    host.looks_until(lambda: host.loop.memory.failed.count == 2)
    # People are notified of the first one; an alarm tells that it goes on.
    assert told_of(host, "last_start_failed") == [True, False]
    alarm = next(event for event in host.broker.told if event.alarm)
    assert (alarm.subject, alarm.is_over, alarm.told) == ("Alarm: bad-endings", False, 0)
    assert alarm.why.startswith("1 starts failed or runs ended badly on this host")
    assert (alarm.source, alarm.to, alarm.edge) == ("", "", "")


def test_a_start_that_can_not_be_ordered_is_a_failed_start_and_no_hot_loop(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        orders.append(time.monotonic())
        msg = "the daemon takes no orders"
        raise HypervisorError(msg)

    orders: list[float] = []
    monkeypatch.setattr(host.loop.hypervisor, "start", refuse)
    host.looks_until(lambda: host.loop.memory.failed.count == 1)
    for _ in range(3):
        host.loop.look()
    # The next start waits.
    assert (host.state, len(orders)) == (State.ENGINE_DOWN, 1)
    assert [event.why for event in host.broker.told if event.edge == "start_failed"] == [
        "failed start 1: the daemon takes no orders"
    ]


def test_an_alarm_is_in_report_status_and_metrics_until_it_is_over(
    make: Callable[..., Host], cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    # Slot 0 is written anew as often as people are told.
    host = make(loop_s=2.5, dead_after_s=6.0, settle_loops=0.1, alarm_repeat_s=5.0)
    caplog.set_level("INFO", "he_fsm")
    goes_up(host)
    with (cluster.shared / "whiteboard").open("r+b") as file:
        file.write(b"\xff" * 4096)
    host.broker.is_read_only = True
    host.looks_until(lambda: [event.alarm for event in host.broker.told if event.alarm])
    (shown,) = host.service.status()["agent"]["alarms"]
    assert shown["name"] == "slot-0"
    assert shown["text"].startswith("slot 0 of the whiteboard can't be believed")
    assert shown["for_s"] >= 0.0
    assert b'he_fsm_alarm{name="slot-0"} 1.0' in metrics_of(host.service.status())
    assert b'he_fsm_alarm{name="engine-down"} 0.0' in metrics_of(host.service.status())
    assert any(line.startswith("Alarm: slot-0: slot 0 of the white") for line in caplog.messages)
    # It is shown as long as it lasts, also where nothing new is told, and in a look with an edge.
    host.looks_until(lambda: "slot 0 is not written again: slot 0 can't be" in caplog.text)
    Faults(host.host.run_dir).set(hypervisor="lost")
    host.loop.look()
    Faults(host.host.run_dir).set(hypervisor="ok")
    assert [alarm["name"] for alarm in host.service.last_report()["alarms"]] == ["slot-0"]
    host.broker.is_read_only = False
    host.looks_until(lambda: host.service.maintenance().everywhere is False)
    assert "slot 0 is written again: global maintenance is off, as before" in caplog.messages
    host.looks_until(lambda: host.service.status()["agent"]["alarms"] == [])
    assert host.broker.told[-1].subject == "Alarm over: slot-0"
    assert host.broker.told[-1].is_over
    assert b'he_fsm_alarm{name="slot-0"} 0.0' in metrics_of(host.service.status())


# Suspended.


def lives_for_long(host: Host) -> bool:
    watch = host.loop.memory.vm
    assert watch is not None
    return time.monotonic() > watch.since + host.loop.policy.lease_settle_s


@pytest.mark.parametrize("is_in_maintenance", [False, True])
def test_a_host_whose_lease_was_taken_while_it_was_suspended_ends_its_vm_in_the_first_look(
    host: Host, is_in_maintenance: bool
) -> None:
    goes_up(host)
    if is_in_maintenance:
        host.service.maintenance(everywhere=True)
        host.looks_until(lambda: host.state is State.GLOBAL_MAINTENANCE)
    until(lambda: lives_for_long(host))
    record = host.host.vm()
    assert record is not None
    host.slept_s = 3600.0
    host.broker.owner = 2
    host.loop.look()
    # Nobody looks any more, and it ends.
    until(lambda: not record.is_here)


def test_a_host_that_was_suspended_trusts_nothing_that_it_knew(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "he_fsm")
    goes_up(host)
    host.slept_s = 3600.0
    host.loop.look()
    why = "this host was suspended for 1 h: nothing that it knew is trusted"
    assert f"EngineUp -> Unknown: {why}" in caplog.messages
    goes_up(host)
    assert host.words() == ["start"]


def test_what_was_asked_before_a_suspend_is_asked_again(host: Host) -> None:
    host.loop.look()
    before = host.loop._sight.look(host.loop.policy)
    host.broker.asked.clear()

    def suspend() -> None:
        host.slept_s += 3600.0
        host.broker.after_facts = None

    host.broker.after_facts = suspend
    facts = host.loop._sight.look(host.loop.policy)
    assert host.broker.asked == ["facts", "facts"]
    assert before.boot_now is not None
    assert facts.boot_now is not None
    # The decision learns of it.
    assert facts.boot_now - facts.now > before.boot_now - before.now + 3599.0


# The end.


def test_stopping_without_a_vm_gives_the_host_id_back(host: Host) -> None:
    host.loop.look()
    host.loop.stop()
    record = host.cluster.read().records[1]
    assert (record.stopped, record.score) == (True, 0)
    assert host.service.status()["lease"]["joined"] is False


def test_stopping_with_a_vm_keeps_the_host_id(host: Host) -> None:
    goes_up(host)
    host.broker.asked.clear()
    host.loop.stop()
    assert "leave" not in host.broker.asked
    assert host.cluster.read().records[1].stopped
    assert host.service.status()["lease"]["joined"] is True
    assert host.loop.hypervisor.observe().vm.state is VmState.UP


def test_stopping_without_a_broker_is_said_once(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.loop.look()
    host.broker.is_away = True
    caplog.clear()
    host.loop.stop()
    assert caplog.messages == ["the broker does not answer"]


def test_stopping_with_a_silent_hypervisor_keeps_the_host_id(host: Host) -> None:
    host.loop.look()
    Faults(host.host.run_dir).set(hypervisor="lost")
    assert host.loop.hypervisor.observe().vm.state is VmState.UNKNOWN
    host.broker.asked.clear()
    host.loop.stop()
    assert "leave" not in host.broker.asked
    Faults(host.host.run_dir).set(hypervisor="ok")


def test_an_id_that_is_lost_is_not_taken_to_say_goodbye(host: Host) -> None:
    host.loop.look()
    host.service.leave()
    host.broker.asked.clear()
    host.loop.stop()
    assert host.broker.asked == ["facts"]


def test_errors_of_every_kind_are_survived(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        msg = "no"
        raise HeFsmError(msg)

    goes_up(host)
    for name in ("report", "tell", "leave", "mend_global", "write_slot", "whiteboard"):
        monkeypatch.setattr(host.broker, name, refuses)
    host.loop.look()
    host.loop.look()
    host.loop.stop()
    assert host.state is State.UNKNOWN
