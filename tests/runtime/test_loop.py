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

from he_fsm import tick
from he_fsm.errors import BrokerError, HeFsmError, HypervisorError, StorageError
from he_fsm.memory import FailedStarts, Memory
from he_fsm.metadata import encode_global
from he_fsm.runtime import parts
from he_fsm.runtime.broker.protocol import BrokerFacts, EngineHealth
from he_fsm.runtime.broker.service import BrokerService
from he_fsm.runtime.config import load_config
from he_fsm.runtime.hypervisors.faults import Faults
from he_fsm.runtime.hypervisors.witness import read_log
from he_fsm.runtime.loop import Loop
from he_fsm.runtime.memory_file import MemoryFile
from he_fsm.runtime.ports import Event
from he_fsm.snapshot import Health, VmState
from he_fsm.states.names import State
from tests.runtime.cluster import Cluster, ClusterHost, whiteboard_hung
from tests.runtime.waiting import until

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
        if self.page is None:
            return facts
        health, at = self.page
        engine = EngineHealth(health=health, age_s=time.monotonic() - at)
        return attrs.evolve(facts, engine=engine)

    def join(self) -> None:
        self._ask("join").join()

    def whiteboard(self) -> bytes:
        return self._ask("whiteboard").whiteboard()

    def write_slot(self, block: bytes) -> None:
        self._ask("write_slot").write_slot(block)

    def report(self, report: dict[str, Any]) -> None:
        self._ask("report").report(report)

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
        self.service = parts.make_service(self.config)
        self.broker = Switched(self.service)
        until(self.reads)
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
        """Give a new agent's loop."""
        return Loop(
            identity=tick.Identity(host_id=1, hostname="host1"),
            policy=self.config.policy,
            broker=self.broker,
            hypervisor=parts.make_hypervisor(self.config),
            memory_file=MemoryFile(self.config.state_dir / "memory.json"),
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
    slow.loop.hypervisor.vm()
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
    assert [(event["from"], event["to"]) for event in report["events"]][-1] == (
        "EngineStarting",
        "EngineUp",
    )
    told = {(event.source, event.to): event.notifies for event in host.broker.told}
    assert told["EngineStarting", "EngineUp"]
    # Every edge is told of, for an administrator's own choice.
    assert told["Unknown", "EngineDown"] is False
    assert host.loop.machine.state == "EngineUp"


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
    readings = host.loop._readings
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
    facts = host.loop._facts()
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
    other = parts.make_service(load_config(cluster.hosts[1].path))
    try:
        until(lambda: other.facts().leases is not None)
        other.join()
        host.loop.look()
        host.loop.look()
        said = [line for line in caplog.messages if line.startswith("the host id is not taken")]
        assert len(said) == 1
        assert "held by another" in said[0]
        assert "slot 1: held" in caplog.messages
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
    assert host.loop.hypervisor.vm().state is VmState.UP


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
    with pytest.raises(HypervisorError):
        host.loop.hypervisor.vm()
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
    for name in ("report", "tell", "leave", "write_slot", "whiteboard"):
        monkeypatch.setattr(host.broker, name, refuses)
    host.loop.look()
    host.loop.look()
    host.loop.stop()
    assert host.state is State.UNKNOWN
