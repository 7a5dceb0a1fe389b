"""
The status as metrics for Prometheus; docs/metrics.md says what each one means.

A family whose value is not known has no sample: nothing old is shown as if it were so now.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from he_fsm.alarms import MEANING
from he_fsm.metadata.layout import RELEASE
from he_fsm.states.names import State

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
# An agent that is silent for so many loops does not run, or hangs; what it said is old.
_LOOPS_MISSED: Final = 3


class _Status(Collector):
    def __init__(self, status: dict[str, Any]) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        status = self._status
        yield from _broker(is_there=True)
        yield _number("he_fsm_host_id", "This host's id.", status["host_id"])
        yield from _hosts(status)
        yield from _engine(status)
        yield from _agent(status)
        yield from _lease(status)
        storage = GaugeMetricFamily("he_fsm_storage_readable", "Whether the storage can be read.")
        storage.add_metric([], float(status["storage"] == "ok"))
        yield storage
        yield from _ages(status)
        maintenance = GaugeMetricFamily(
            "he_fsm_maintenance", "Whether the flag is set.", labels=["flag"]
        )
        for flag, value in status["maintenance"].items():
            if value is not None:
                maintenance.add_metric([flag], float(value))
        yield maintenance
        counts = CounterMetricFamily(
            "he_fsm_broker_actions", "What the broker did since it started.", labels=["what"]
        )
        for what, count in sorted(status["counts"].items()):
            counts.add_metric([what], count)
        yield counts


class _Gone(Collector):
    def collect(self) -> Iterable[Metric]:
        return _broker(is_there=False)


def _number(name: str, about: str, value: float | None) -> Metric:
    """Return a family of one sample, or of none."""
    family = GaugeMetricFamily(name, about)
    if value is not None:
        family.add_metric([], value)
    return family


def _broker(*, is_there: bool) -> Iterator[Metric]:
    yield _number("he_fsm_broker_up", "Whether this host's broker answers.", float(is_there))
    build = InfoMetricFamily("he_fsm_build", "The release, and the Python that runs it.")
    build.add_metric([], {"version": RELEASE, "python": platform.python_version()})
    yield build


def _ages(status: dict[str, Any]) -> Iterator[Metric]:
    read = GaugeMetricFamily(
        "he_fsm_storage_read_age_seconds", "Age of the last good reading of the whiteboard."
    )
    if status["read_age_s"] is not None:
        read.add_metric([], status["read_age_s"])
    monitors = GaugeMetricFamily(
        "he_fsm_monitor_age_seconds", "Age of a monitor's last value.", labels=["monitor"]
    )
    for name, found in sorted(status["monitors"].items()):
        monitors.add_metric([name], found["age_s"])
    yield from (read, monitors)


def _hosts(status: dict[str, Any]) -> Iterator[Metric]:
    score = GaugeMetricFamily("he_fsm_score", "A host's published score.", labels=["host"])
    timestamp = GaugeMetricFamily(
        "he_fsm_record_timestamp_seconds", "The record's timestamp.", labels=["host"]
    )
    damaged = GaugeMetricFamily(
        "he_fsm_slot_problem", "A slot that can't be believed.", labels=["host", "problem"]
    )
    for host, found in sorted(status["hosts"].items()):
        if "problem" in found:
            damaged.add_metric([host, found["problem"]], 1.0)
        else:
            score.add_metric([host], found["score"])
            timestamp.add_metric([host], found["timestamp"])
    yield from (score, timestamp, damaged)
    count = sum("problem" in found for found in status["hosts"].values())
    yield _number("he_fsm_slots_damaged", "Slots that can't be believed.", count)


def _engine(status: dict[str, Any]) -> Iterator[Metric]:
    """Say where the engine is, as this host's agent sees it now."""
    agent, hosts = status["agent"], status["hosts"]
    age_s, loop_s = agent.get("age_s"), agent.get("loop_s")
    if age_s is None or "alive" not in agent or (loop_s and age_s > _LOOPS_MISSED * loop_s):
        return
    alive = GaugeMetricFamily("he_fsm_host_alive", "Whether the host is alive.", labels=["host"])
    up = GaugeMetricFamily(
        "he_fsm_engine_up", "Whether the engine VM is up on the living host.", labels=["host"]
    )
    healthy = GaugeMetricFamily(
        "he_fsm_engine_healthy", "Whether the engine is good on the living host.", labels=["host"]
    )
    engine_on = 0
    for host, found in sorted(hosts.items()):
        engine = found.get("engine", {})
        is_alive = int(host) in agent["alive"]
        is_up = is_alive and engine.get("vm") == "up"
        # Of two that say so during a move, the one whose engine is good.
        if is_up and (not engine_on or engine.get("health") == "good"):
            engine_on = int(host)
        alive.add_metric([host], float(is_alive))
        up.add_metric([host], float(is_up))
        healthy.add_metric([host], float(is_up and engine.get("health") == "good"))
    yield from (alive, up, healthy)
    about = "The living host with the engine VM; 0: none has it."
    yield _number("he_fsm_engine_host", about, engine_on)


def _counts(agent: dict[str, Any]) -> Iterator[Metric]:
    """Count what has happened since the agent began."""
    edges = CounterMetricFamily(
        "he_fsm_transitions",
        "Transitions since the agent began, by edge.",
        labels=["source", "target", "edge"],
    )
    for source, target, edge, count in agent.get("transitions", ()):
        edges.add_metric([source, target, edge], count)
    yield edges
    ended = agent.get("ended", {})
    for name, key, about in (
        ("he_fsm_starts_failed", "starts", "Starts of the engine that failed here."),
        ("he_fsm_runs_ended_badly", "runs", "Runs of the engine here that died, hung or paused."),
    ):
        family = CounterMetricFamily(name, f"{about} Since the agent began.")
        if key in ended:
            family.add_metric([], ended[key])
        yield family
    about = "Failed starts and bad endings here that are not forgotten yet."
    yield _number("he_fsm_failed_starts_kept", about, agent.get("failed_starts"))


def _agent(status: dict[str, Any]) -> Iterator[Metric]:
    agent = status["agent"]
    if agent.get("age_s") is None:
        return
    age = GaugeMetricFamily("he_fsm_agent_report_age_seconds", "Age of the agent's last report.")
    age.add_metric([], agent["age_s"])
    state = GaugeMetricFamily("he_fsm_state", "The agent's state: 1 for one.", labels=["state"])
    for each in State:
        state.add_metric([each.value], float(agent.get("state") == each.value))
    alive = GaugeMetricFamily("he_fsm_alive", "Hosts that this one takes for alive.")
    alive.add_metric([], len(agent.get("alive", ())))
    worked = GaugeMetricFamily(
        "he_fsm_agent_look_seconds", "How long the agent's last complete look took."
    )
    if agent.get("worked_s") is not None:
        worked.add_metric([], agent["worked_s"])
    alarm = GaugeMetricFamily(
        "he_fsm_alarm", "Whether the alarm is raised, as this host sees it.", labels=["name"]
    )
    raised = {alarm["name"] for alarm in agent.get("alarms", ())}
    for name in sorted({*MEANING, *raised}):
        alarm.add_metric([name], float(name in raised))
    yield from (age, state, alive, worked, alarm)
    yield from _counts(agent)


def _lease(status: dict[str, Any]) -> Iterator[Metric]:
    lease = status["lease"]
    if lease is None:
        return
    owner = GaugeMetricFamily("he_fsm_lease_owner", "Host id of the lease's owner; 0: free.")
    owner.add_metric([], lease["owner"] or 0)
    joined = GaugeMetricFamily("he_fsm_host_id_held", "Whether this host holds its host id.")
    joined.add_metric([], float(lease["joined"]))
    yield from (owner, joined)
    left_s = lease["runs_out_in_s"]
    yield _number(
        "he_fsm_lease_left_seconds",
        "Time until others can take the engine's lease, if its owner renews no more.",
        left_s,
    )
    yield _number(
        "he_fsm_lease_renewal_age_seconds",
        "Time since the engine's lease was renewed.",
        lease["renewal_age_s"],
    )
    watchdog_s = status["agent"].get("watchdog_s")
    is_here = lease["owner"] == status["host_id"]
    knows = is_here and None not in (left_s, watchdog_s)
    yield _number(
        "he_fsm_watchdog_margin_seconds",
        "With the engine here: time for which renewals may fail before its end is ordered, and"
        " after which the watchdog's own time runs.",
        max(0.0, left_s - watchdog_s) if knows else None,
    )


def metrics_of(status: dict[str, Any]) -> bytes:
    """Return a status (see `status.status_of`) in Prometheus' text format."""
    return _text_of(_Status(status))


def gone() -> bytes:
    """Return the metrics of a host whose broker does not answer: that alone."""
    return _text_of(_Gone())


def _text_of(collector: Collector) -> bytes:
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry)
