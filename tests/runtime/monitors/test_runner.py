"""The threads that ask: ages, monitors that hang, and the end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

import attrs
import pytest

from he_fsm.errors import MonitorError
from he_fsm.runtime.config.monitors import (
    BridgeMonitorConfig,
    CpuMonitorConfig,
    MemoryMonitorConfig,
    MonitorsConfig,
)
from he_fsm.runtime.config.settings import Config, HostConfig, StorageConfig
from he_fsm.runtime.monitors import runner as names
from he_fsm.runtime.monitors.make import make_runner
from he_fsm.runtime.monitors.runner import MonitorRunner
from he_fsm.runtime.monitors.section import NetworkMonitorConfig
from he_fsm.runtime.ports.monitors import HealthReport, Monitor, Value
from he_fsm.snapshot import Health
from he_fsm.testing.waiting import until

Make = Callable[..., MonitorRunner]
BOOTTIME = time.CLOCK_BOOTTIME


@attrs.define(eq=False)
class Scripted:
    """Says what it is told to; may be stopped in the middle of a measurement."""

    value: Optional[Value] = None
    error: Optional[Exception] = None
    deadline_s: float = 5.0
    asked: int = 0
    lets_go: threading.Event = attrs.field(factory=threading.Event)

    def __attrs_post_init__(self) -> None:
        self.lets_go.set()

    def measure(self) -> Optional[Value]:
        self.asked += 1
        self.lets_go.wait(60)
        if self.error is not None:
            raise self.error
        return self.value


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
    made: list[MonitorRunner] = []

    def one(interval_s: float = 0.01, **monitors: Monitor) -> MonitorRunner:
        made.append(MonitorRunner(monitors, interval_s, clock))
        made[-1].start()
        return made[-1]

    yield one
    for runner in made:
        runner.close(0.0)


def wait_for_round(monitor: Scripted) -> None:
    """Wait until a measurement that began after now has ended."""
    asked = monitor.asked
    until(lambda: monitor.asked >= asked + 2)


def test_each_reading_has_its_monitor(make: Make) -> None:
    runner = make(
        network=Scripted(0.6),
        bridge=Scripted(1.0),
        mem_free=Scripted(8192.0),
        cpu_load=Scripted(0.25),
        mem_load=Scripted(0.5),
    )
    until(lambda: all(m["value"] is not None for m in runner.health().values()))  # type: ignore[index]
    readings = runner.readings()
    assert readings.gateway.value == 0.6
    assert readings.bridge.value == 1.0
    assert readings.mem_free.value == 8192.0
    assert readings.cpu_load.value == 0.25
    assert readings.mem_load.value == 0.5
    assert readings.gateway.age_s == 0.0


def test_what_was_never_measured_has_the_age_of_the_tries(make: Make, clock: Clock) -> None:
    failing = Scripted(error=MonitorError("no such thing"))
    runner = make(network=failing)
    wait_for_round(failing)
    clock.now += 42.0
    for reading in (runner.readings().gateway, runner.readings().bridge):
        assert reading.value is None
        assert reading.age_s == 42.0


def test_an_old_value_grows_older_while_there_is_no_newer_one(
    make: Make, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monitor = Scripted(1.0)
    runner = make(network=monitor)
    until(lambda: runner.readings().gateway.value == 1.0)
    monitor.error = MonitorError("no ping sockets")
    wait_for_round(monitor)
    clock.now += 30.0
    wait_for_round(monitor)
    assert runner.readings().gateway.value == 1.0
    assert runner.readings().gateway.age_s == 30.0
    assert runner.health()["network"] == {"value": 1.0, "age_s": 30.0, "fault": "no ping sockets"}
    monitor.error = None
    until(lambda: runner.readings().gateway.age_s == 0.0)
    until(lambda: len(caplog.messages) == 2)
    assert caplog.messages[0] == "monitor network: no ping sockets"
    assert caplog.messages[1].startswith("monitor network measures again (after 30 s, ")


def test_what_is_not_known_yet_is_no_value(make: Make) -> None:
    monitor = Scripted(None)
    runner = make(cpu_load=monitor)
    wait_for_round(monitor)
    assert runner.readings().cpu_load.value is None
    assert runner.health()["cpu_load"]["fault"] == "not known yet"  # type: ignore[index]


def test_a_monitor_that_hangs_holds_up_nobody_and_is_said_once(
    make: Make, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    stuck, well = Scripted(1.0), Scripted(0.5)
    runner = make(network=stuck, bridge=well)
    until(lambda: runner.readings().gateway.value == 1.0)
    stuck.lets_go.clear()
    asked = stuck.asked
    until(lambda: stuck.asked > asked)
    clock.now += 61.0
    wait_for_round(well)
    for _ in range(3):
        readings = runner.readings()
        assert (readings.gateway.value, readings.gateway.age_s) == (1.0, 61.0)
        assert (readings.bridge.value, readings.bridge.age_s) == (0.5, 0.0)
        assert runner.health()["network"]["fault"] == "it hangs"  # type: ignore[index]
    assert caplog.messages == ["monitor network hangs; its last value grows old"]
    stuck.lets_go.set()
    until(lambda: runner.readings().gateway.age_s == 0.0)
    until(lambda: len(caplog.messages) == 2)
    assert caplog.messages[1].startswith("monitor network is back (after ")


def test_a_bug_in_a_monitor_is_logged_with_its_trace_once(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = Scripted(error=ZeroDivisionError("division by zero"))
    runner = make(network=monitor)
    wait_for_round(monitor)
    wait_for_round(monitor)
    assert caplog.messages == ["monitor network has a bug"]
    assert caplog.records[0].exc_info is not None
    monitor.error = None
    monitor.value = 1.0
    until(lambda: runner.readings().gateway.value == 1.0)


def test_the_health_page_is_told_with_its_reason(make: Make) -> None:
    monitor = Scripted(HealthReport(Health.GOOD, "'DB Up' in 0.02 s", 0.02))
    runner = make(engine_health=monitor)
    until(lambda: runner.engine_health()[0] is Health.GOOD)
    assert runner.engine_health() == (Health.GOOD, 0.0, "'DB Up' in 0.02 s")
    assert runner.health()["engine_health"]["value"] == "good: 'DB Up' in 0.02 s"  # type: ignore[index]
    monitor.value = HealthReport(Health.BAD, "HTTP status 503", 0.01)
    until(lambda: runner.engine_health() == (Health.BAD, 0.0, "HTTP status 503"))


def test_a_page_that_can_not_be_asked_is_unknown_and_not_bad(make: Make, clock: Clock) -> None:
    monitor = Scripted(error=MonitorError("no such file of authorities"))
    runner = make(engine_health=monitor)
    wait_for_round(monitor)
    clock.now += 7.0
    assert runner.engine_health() == (Health.UNKNOWN, 7.0, "no such file of authorities")
    assert make().engine_health() == (Health.UNKNOWN, 0.0, "there is no page to ask")


def test_a_page_that_holds_the_monitor_up_is_silent(make: Make, clock: Clock) -> None:
    monitor = Scripted(HealthReport(Health.GOOD, "fine", 0.02), deadline_s=45.0)
    runner = make(engine_health=monitor)
    until(lambda: runner.engine_health()[0] is Health.GOOD)
    monitor.lets_go.clear()
    asked = monitor.asked
    until(lambda: monitor.asked > asked)
    clock.now += 44.0
    assert runner.engine_health()[0] is Health.GOOD
    clock.now += 6.0
    assert runner.engine_health() == (Health.SILENT, 0.0, "no answer; overdue by 5 s")
    monitor.lets_go.set()


def test_what_was_measured_before_the_host_was_suspended_is_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monitor = Scripted(1.0)
    page = Scripted(HealthReport(Health.GOOD, "fine", 0.02))
    runner = MonitorRunner({names.NETWORK: monitor, names.ENGINE_HEALTH: page}, 3600.0)
    runner.start()
    try:
        until(lambda: runner.readings().gateway.value == 1.0)
        until(lambda: runner.engine_health()[0] is Health.GOOD)
        assert runner.readings().gateway.age_s < 3600.0
        before = time.clock_gettime
        # The monotonic clock stands still meanwhile, and this one does not.
        monkeypatch.setattr(
            time, "clock_gettime", lambda clock: before(clock) + 7200.0 * (clock == BOOTTIME)
        )
        assert runner.readings().gateway.age_s > 7199.0
        assert runner.engine_health()[1] > 7199.0
    finally:
        runner.close()


def test_a_page_not_yet_asked_is_unknown(clock: Clock) -> None:
    runner = MonitorRunner({names.ENGINE_HEALTH: Scripted()}, 1.0, clock)
    assert runner.engine_health() == (Health.UNKNOWN, 0.0, "not asked yet")
    runner.close()


def test_measurements_begin_an_interval_apart(make: Make) -> None:
    monitor = Scripted(1.0)
    make(interval_s=3600.0, network=monitor)
    until(lambda: monitor.asked == 1)


def test_closing_ends_the_threads_and_waits_for_none_that_hangs() -> None:
    stuck, well = Scripted(1.0), Scripted(1.0)
    stuck.lets_go.clear()
    runner = MonitorRunner({"network": stuck, "bridge": well}, 3600.0)
    runner.start()
    until(lambda: stuck.asked and well.asked)
    runner.close(wait_s=0.2)
    threads = {thread.name for thread in threading.enumerate()}
    assert "he-fsm monitor bridge" not in threads
    assert "he-fsm monitor network" in threads
    stuck.lets_go.set()
    until(lambda: "he-fsm monitor network" not in {t.name for t in threading.enumerate()})


def test_files_take_the_place_of_everything(tmp_path: Path) -> None:
    (tmp_path / "network").write_text("0.8")
    (tmp_path / "bridge").write_text("true")
    (tmp_path / "memory").write_text("8192 0.3")
    (tmp_path / "cpu").write_text("0.2")
    config = Config(
        host=HostConfig(id=1, hostname="a"),
        storage=StorageConfig(path=tmp_path),
        monitors=MonitorsConfig(
            interval_s=0.05,
            network=NetworkMonitorConfig(test="file", path=tmp_path / "network"),
            bridge=BridgeMonitorConfig(path=tmp_path / "bridge"),
            memory=MemoryMonitorConfig(path=tmp_path / "memory"),
            cpu=CpuMonitorConfig(path=tmp_path / "cpu"),
        ),
    )
    runner = make_runner(config, last_read=lambda: None)
    assert set(runner.health()) == {
        "network",
        "bridge",
        "mem_free",
        "mem_load",
        "cpu_load",
        "engine_health",
        "storage",
    }
    runner.start()
    try:
        until(lambda: runner.readings().gateway.value == 0.8)
        until(lambda: runner.readings().bridge.value == 1.0)
        until(lambda: runner.readings().mem_free.value == 8192.0)
        until(lambda: runner.readings().mem_load.value == 0.3)
        until(lambda: runner.readings().cpu_load.value == 0.2)
        (tmp_path / "network").write_text("0")
        until(lambda: runner.readings().gateway.value == 0.0)
    finally:
        runner.close()


def test_this_machine_is_measured(tmp_path: Path) -> None:
    config = Config(
        host=HostConfig(id=1, hostname="a"),
        storage=StorageConfig(path=tmp_path),
        monitors=MonitorsConfig(
            interval_s=0.2,
            network=NetworkMonitorConfig(test="none"),
            bridge=BridgeMonitorConfig(name="lo"),
        ),
    )
    runner = make_runner(config)
    runner.start()
    try:
        until(lambda: runner.readings().cpu_load.value is not None)
        readings = runner.readings()
        assert readings.gateway.value == readings.bridge.value == 1.0
        assert readings.mem_free.value is not None
        assert readings.mem_free.value > 0
    finally:
        runner.close()
