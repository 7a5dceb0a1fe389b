"""The status as metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from he_fsm.alarms import MEANING
from he_fsm.states.names import State

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


class _Status(Collector):
    def __init__(self, status: dict[str, Any]) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        status = self._status
        yield from _hosts(status)
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


def _lease(status: dict[str, Any]) -> Iterator[Metric]:
    lease = status["lease"]
    if lease is None:
        return
    owner = GaugeMetricFamily("he_fsm_lease_owner", "Host id of the lease's owner; 0: free.")
    owner.add_metric([], lease["owner"] or 0)
    joined = GaugeMetricFamily("he_fsm_host_id_held", "Whether this host holds its host id.")
    joined.add_metric([], float(lease["joined"]))
    yield from (owner, joined)


def metrics_of(status: dict[str, Any]) -> bytes:
    """Return a status (see `status.status_of`) in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Status(status))
    return generate_latest(registry)
