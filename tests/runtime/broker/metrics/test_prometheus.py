"""Dashboard and alerts on a real Prometheus that scrapes real daemons."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from he_fsm.testing.vm_hosts import free_port
from he_fsm.testing.waiting import until
from tests.runtime.broker.metrics.test_page import samples, served
from tests.runtime.cluster import Cluster

ROOT: Final = Path(__file__).parents[4]
RULES: Final = ROOT / "packaging" / "prometheus" / "he-fsm.rules.yml"
DASHBOARD: Final = ROOT / "packaging" / "grafana" / "he-fsm-dashboard.json"
PAGE: Final = ROOT / "docs" / "metrics.md"
JOB: Final = "cluster"
_SELECTOR: Final = re.compile(r"he_fsm_\w+(?:\{[^}]*\})?")

SERVER: Final = shutil.which("prometheus") or ""
PROMTOOL: Final = shutil.which("promtool") or ""
NEEDS_PROMETHEUS = pytest.mark.skipif(
    not (SERVER and PROMTOOL),
    reason="needs Prometheus: apt install prometheus",
)


def alerts() -> dict[str, dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def panel_queries() -> list[str]:
    """Return each query as Grafana sends it for one cluster."""
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [
        target["expr"].replace("$job", JOB)
        for panel in board["panels"]
        for target in panel["targets"]
    ]


class Prometheus:
    """A server that scrapes some ports each second; `query` asks it."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        self.port = free_port()
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {
                    "job_name": JOB,
                    "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}],
                }
            ],
        }
        path = folder / "prometheus.yml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        self.log = folder / "prometheus.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    SERVER,
                    f"--config.file={path}",
                    f"--storage.tsdb.path={folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdout=log,
                stderr=log,
            )

    def ask(self, path: str, **words: str) -> Any:
        """Return the data of an answer of the API."""
        query = urllib.parse.urlencode(words)
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            plain = json.load(answer)
        assert plain["status"] == "success"
        return plain["data"]

    def query(self, expression: str) -> list[Any]:
        """Return the series that an expression finds now."""
        found: list[Any] = self.ask("query", query=expression)["result"]
        return found

    def answers(self) -> bool:
        with suppress(OSError):
            return bool(self.ask("query", query="up"))
        return False

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)


@contextmanager
def scraped() -> Iterator[Prometheus]:
    """Run two hosts, of which one has the engine, and a Prometheus that has seen them twice."""
    with tempfile.TemporaryDirectory(prefix="hf-") as name:
        folder = Path(name)
        cluster = Cluster(folder / "c")
        ports = [served(host) for host in cluster.hosts.values()]
        try:
            cluster.start()
            cluster.engine_is_up()
            until(lambda: all(samples(port).get(("he_fsm_alive",)) == 2 for port in ports))
            prometheus = Prometheus(folder, ports)
            try:
                until(prometheus.answers, within_s=30.0)
                twice = f'min(count_over_time(he_fsm_broker_up{{job="{JOB}"}}[1m])) > 2'
                until(lambda: prometheus.query(twice) != [], within_s=30.0)
                yield prometheus
            finally:
                prometheus.close()
        finally:
            cluster.tear_down()


@NEEDS_PROMETHEUS
@pytest.mark.long
def test_every_panel_and_every_alert_finds_what_the_daemons_serve() -> None:
    with scraped() as prometheus:
        for query in panel_queries():
            assert prometheus.query(query) != [], query
        for name, rule in alerts().items():
            for selector in _SELECTOR.findall(rule["expr"]):
                assert prometheus.query(selector) != [], (name, selector)

        def evaluated() -> bool:
            (group,) = prometheus.ask("rules")["groups"]
            return all(rule["health"] != "unknown" for rule in group["rules"])

        until(evaluated, within_s=30.0)
        (group,) = prometheus.ask("rules")["groups"]
        assert {rule["name"]: rule["health"] for rule in group["rules"]} == dict.fromkeys(
            alerts(), "ok"
        )
        # A healthy cluster of two hosts: nothing fires, and nothing is about to.
        # Its times are 20 times shorter, and with them the margin.
        about_to = {alert["labels"]["alertname"] for alert in prometheus.ask("alerts")["alerts"]}
        assert about_to <= {"HeFsmLeaseNotRenewed"}


@NEEDS_PROMETHEUS
def test_promtool_takes_the_rules() -> None:
    done = subprocess.run(
        [PROMTOOL, "check", "rules", str(RULES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# What has to be so for each alert, as series of promtool's language, and where it is not.
GOOD: Final = {
    'he_fsm_engine_healthy{job="a",instance="h1",host="1"}': 1,
    'he_fsm_engine_up{job="a",instance="h1",host="1"}': 1,
    'he_fsm_broker_up{job="a",instance="h1"}': 1,
    'he_fsm_agent_report_age_seconds{job="a",instance="h1"}': 5,
    'he_fsm_storage_readable{job="a",instance="h1"}': 1,
    'he_fsm_host_id_held{job="a",instance="h1"}': 1,
    'he_fsm_watchdog_margin_seconds{job="a",instance="h1"}': 75,
    'he_fsm_score{job="a",instance="h1",host="1"}': 2400,
    'he_fsm_score{job="a",instance="h1",host="2"}': 2400,
    'he_fsm_starts_failed_total{job="a",instance="h1"}': 0,
    'he_fsm_runs_ended_badly_total{job="a",instance="h1"}': 0,
    'he_fsm_slots_damaged{job="a",instance="h1"}': 0,
    'he_fsm_alarm{job="a",instance="h1",name="slot-0"}': 0,
    'he_fsm_maintenance{job="a",instance="h1",flag="global"}': 0,
    'he_fsm_build_info{job="a",instance="h1",version="0.1.0"}': 1,
}
# Two days, with a sample each 10 minutes.
DAYS: Final = "x288"
FIRES: Final = {
    "HeFsmEngineDown": {'he_fsm_engine_healthy{job="a",instance="h1",host="1"}': "0"},
    "HeFsmEngineUnseen": {'he_fsm_engine_up{job="a",instance="h1",host="1"}': None},
    "HeFsmBrokerDown": {'he_fsm_broker_up{job="a",instance="h1"}': "0"},
    "HeFsmAgentSilent": {'he_fsm_agent_report_age_seconds{job="a",instance="h1"}': "61"},
    "HeFsmStorageUnreadable": {'he_fsm_storage_readable{job="a",instance="h1"}': "0"},
    "HeFsmHostIdLost": {'he_fsm_host_id_held{job="a",instance="h1"}': "0"},
    "HeFsmLeaseNotRenewed": {'he_fsm_watchdog_margin_seconds{job="a",instance="h1"}': "39"},
    "HeFsmNoSpare": {'he_fsm_score{job="a",instance="h1",host="2"}': "0"},
    "HeFsmStartsFail": {'he_fsm_starts_failed_total{job="a",instance="h1"}': "0+1"},
    "HeFsmSlotsDamaged": {'he_fsm_slots_damaged{job="a",instance="h1"}': "1"},
    "HeFsmAlarm": {'he_fsm_alarm{job="a",instance="h1",name="slot-0"}': "1"},
    "HeFsmMaintenanceLasts": {'he_fsm_maintenance{job="a",instance="h1",flag="global"}': "1"},
    "HeFsmReleasesDiffer": {'he_fsm_build_info{job="a",instance="h2",version="0.2.0"}': "1"},
}


def _case(name: str) -> dict[str, Any]:
    """Return what promtool tests: at the end this alert fires, and no other one."""
    values: dict[str, Any] = {series: f"{value}+0" for series, value in GOOD.items()}
    for series, value in FIRES.get(name, {}).items():
        if value is None:
            del values[series]
        else:
            values[series] = value if "+" in value else f"{value}+0"
    rules = alerts()
    series = [{"series": key, "values": f"{value}{DAYS}"} for key, value in values.items()]
    return {
        "interval": "10m",
        "input_series": series,
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": "2000m",
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1}]
                if name in rules
                else [],
            }
        ],
    }


@NEEDS_PROMETHEUS
@pytest.mark.long
def test_each_alert_fires_for_its_trouble_and_for_no_other(tmp_path: Path) -> None:
    assert set(FIRES) == set(alerts())
    tests = [_case(name) for name in ("none", *FIRES)]
    plain = {"rule_files": [str(RULES)], "evaluation_interval": "10m", "tests": tests}
    path = tmp_path / "rules.test.yml"
    path.write_text(yaml.safe_dump(plain), encoding="utf-8")
    done = subprocess.run(
        [PROMTOOL, "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_names_each_metric_and_each_alert() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in alerts():
        assert f"`{name}`" in text
    used = {name.partition("{")[0] for rule in alerts().values() for name in _used(rule["expr"])}
    used |= {name.partition("{")[0] for query in panel_queries() for name in _used(query)}
    for name in used:
        assert f"`{name}" in text, name


def _used(expression: str) -> list[str]:
    return _SELECTOR.findall(expression)
