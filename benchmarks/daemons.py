"""What real daemons cost, and how fast they bring the engine back, at true speed."""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import psutil
from table import Row
from timing import HOSTED_ENGINE, command_s

from he_fsm import EngineStatus, HostRecord, parse_scenarios
from he_fsm.errors import HeFsmError
from he_fsm.lab.embedded import EmbeddedLab
from he_fsm.lab.host import LabHost
from he_fsm.lab.lab import Lab
from he_fsm.metadata import encode_slot
from he_fsm.rehearse.lab_spec import spec_of
from he_fsm.rehearse.run import rehearse
from he_fsm.report.events import Event
from he_fsm.report.outcome import Outcome

_MIB = 1 << 20
_DOWN = EngineStatus("down", "bad", "unknown", "vm not running on this host")
# Shortest times with the default loop: the lease of a dead host is free after 76 s.
_WORLD = "world: {io_timeout: 2s, vm_start: 1s, vm_boot: 5s}"
VM_KILLED = f"""
scenarios:
  - name: vm-killed
    {_WORLD}
    hosts: 3
    engine: {{running_on: 1}}
    timeline: [{{at: 20s, every: 20s, engine: kill}}]
    until: 135s
"""
HOST_CRASH = f"""
scenarios:
  - name: host-crash
    {_WORLD}
    hosts: 3
    engine: {{running_on: 1}}
    timeline: [{{at: 30s, host: 1, power: off}}]
    until: 2m
"""
# Host 2 is the best; it is told to stop before host 1 dies.
STOPPED = f"""
scenarios:
  - name: best-candidate-stopped
    {_WORLD}
    hosts: [{{id: 1}}, {{id: 2}}, {{id: 3, cpu_load: 0.9}}]
    engine: {{running_on: 1}}
    timeline:
      - {{at: 25s, host: 2, agent: stop}}
      - {{at: 30s, host: 1, power: off}}
    until: 2m
"""
COLD = """
scenarios:
  - name: cold-start
    world: {cold: true, io_timeout: 2s, vm_start: 1s, vm_boot: 5s}
    hosts: 3
    until: 60s
"""
QUIET = """
scenarios:
  - name: quiet
    hosts: 3
"""
# Of the other hosts of a big cluster only the records are there, written anew every loop.
CROWD = """
scenarios:
  - name: crowd
    world: {loop: 1s}
    hosts: [{id: 250}]
"""
_USAGE_LOOPS = 6
_CROWD, _CROWD_LOOKS = 250, 15


def recoveries() -> Iterator[Row]:
    """Measure recoveries of the engine; all at once, for each waits most of the time."""
    with ThreadPoolExecutor(6) as pool:
        killed, crash, stopped, cold = (
            pool.submit(_run, text) for text in (VM_KILLED, HOST_CRASH, STOPPED, COLD)
        )
        found = killed.result()
        delays = [_start_after(found, fault.t).t - fault.t for fault in _faults(found)]
        yield Row("engine killed: start issued, median", statistics.median(delays), 1.5, "s")
        yield Row("  the slowest of several", max(delays), 1.5, "s")
        after_s = _after_the_lease(crash.result())
        yield Row("host crash: start after the lease is free", after_s, 1.0, "s")
        late_s = _after_the_lease(stopped.result())
        yield Row("  the best candidate's agent was stopped", late_s, 1.0, "s")
        cold_s = _start_after(cold.result(), 0.0).t
        yield Row("cold start of the cluster: first start", cold_s, 30.0, "s")


def _run(text: str) -> Outcome:
    return rehearse(parse_scenarios(text, "benchmark")[0])


def _faults(outcome: Outcome) -> list[Event]:
    return [event for event in outcome.events if event.kind == "fault"]


def _start_after(outcome: Outcome, t: float) -> Event:
    return next(e for e in outcome.events if e.t >= t and e.details.get("vm") == "starting")


def _after_the_lease(outcome: Outcome) -> float:
    crash = _faults(outcome)[-1]
    start = _start_after(outcome, crash.t)
    free = [
        event.t
        for event in outcome.events
        if event.kind == "lease" and event.details["owner"] is None and event.t <= start.t
    ]
    assert free, "the lease was never seen to be free"
    assert free[-1] > crash.t
    return start.t - free[-1]


def usage() -> Iterator[Row]:
    """Measure the daemons of host 1, which nobody asks anything meanwhile."""
    with _lab(QUIET) as lab:
        host = lab.hosts["1"]
        _wait_for(lambda: any(each.vm() for each in lab.hosts.values()))
        daemons = _daemons(host)
        before, began = _cpu_s(daemons), time.monotonic()
        looks = []
        for _ in range(_USAGE_LOOPS):
            time.sleep(lab.policy.loop_s)
            looks.append(host.client.last_report()["worked_s"])
        cpu = (_cpu_s(daemons) - before) / (time.monotonic() - began)
        yield Row("agent and broker, 10 s loop: of one core", cpu * 100, 1.0, "%")
        for name, process in daemons.items():
            yield Row(f"  memory of the {name}", process.memory_info().rss / _MIB, 80.0, "MiB")
    yield Row("a look of the agent, 3 hosts", statistics.median(looks) * 1e3, 50.0, "ms")


def crowd() -> Iterator[Row]:
    """Measure an agent that has many others to read."""
    yield Row("a look of the agent, 250 hosts", _crowd_s() * 1e3, 300.0, "ms")


def vm_status() -> Iterator[Row]:
    """Measure what scripts and monitoring call all the time, the interpreter's start included."""
    with _lab(QUIET) as lab:
        _wait_for(lambda: any(each.vm() for each in lab.hosts.values()))
        json_s = _hosted_engine_s(lab.hosts["1"], "--vm-status", "--json")
        yield Row("hosted-engine --vm-status --json, whole process", json_s, 0.25, "s")
    with _lab(CROWD) as lab:
        for host_id in range(1, _CROWD):
            lab.write_block(host_id, _block(host_id, 7))
        host = lab.hosts[str(_CROWD)]
        _wait_for(lambda: _has_reported(host))
        text_s = _hosted_engine_s(host, "--vm-status")
        yield Row("hosted-engine --vm-status, 250 hosts, whole process", text_s, 0.5, "s")


def _has_reported(host: LabHost) -> bool:
    with contextlib.suppress(HeFsmError):
        return "state" in host.client.last_report()
    return False


def _hosted_engine_s(host: LabHost, *words: str) -> float:
    os.environ["HE_FSM_CONFIG"] = str(host.folder / "config.yaml")
    return command_s(*words, command=HOSTED_ENGINE)


@contextlib.contextmanager
def _lab(text: str) -> Iterator[Lab]:
    with tempfile.TemporaryDirectory(prefix="he-fsm-bench-") as name:
        lab = EmbeddedLab(spec_of(parse_scenarios(text, "benchmark")[0], 1.0), Path(name))
        try:
            lab.start()
            yield lab
        finally:
            lab.close()


def _daemons(host: LabHost) -> dict[str, psutil.Process]:
    """Return a host's daemons: the agent, the broker, and the broker's storage worker."""
    assert host.agent_process is not None
    assert host.broker_process is not None
    broker = psutil.Process(host.broker_process.pid)
    (worker,) = broker.children()
    agent = psutil.Process(host.agent_process.pid)
    return {"agent": agent, "broker": broker, "storage worker": worker}


def _cpu_s(daemons: dict[str, psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in daemons.values())


def _wait_for(is_so: Callable[[], object], within_s: float = 90.0) -> None:
    until = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < until, f"not so after {within_s:g} s"
        time.sleep(0.1)


def _crowd_s() -> float:
    """Return how long a look takes among 249 other hosts that write their slots."""
    with _lab(CROWD) as lab:
        looks = []
        report: dict[str, Any] = {}
        for timestamp in range(1, 1000):
            for host_id in range(1, _CROWD):
                lab.write_block(host_id, _block(host_id, timestamp))
            time.sleep(1.0)
            with contextlib.suppress(HeFsmError):
                report = lab.hosts[str(_CROWD)].client.last_report()
            if len(report.get("alive", ())) == _CROWD:
                looks.append(report["worked_s"])
            if len(looks) == _CROWD_LOOKS:
                return statistics.median(looks)
    msg = "the agent does not see the others"
    raise HeFsmError(msg)


def _block(host_id: int, timestamp: int) -> bytes:
    record = HostRecord(
        host_id=host_id,
        timestamp=timestamp,
        score=2400,
        engine=_DOWN,
        hostname=f"host{host_id}.example.com",
        text="state=EngineDown\nscore-why=all is well",
    )
    return encode_slot(record)
