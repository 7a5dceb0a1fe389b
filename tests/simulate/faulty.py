"""Random scenarios: any faults on one to six hosts, and an hour later everything is healed."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import strategies as st

from he_fsm import parse_scenarios
from he_fsm.policy import Policy
from he_fsm.scenario.model import Scenario

# The agent dies where the engine runs: nobody may start another VM while this one has the lease.
TAKEOVER = """
scenarios:
  - name: cut-off
    hosts: 2
    engine: {running_on: 1}
    timeline:
      - {at: 60s, host: 1, agent: kill}
    until: 30m
"""

FAULTS_S = 3600
RUNS_ON_S = 7200

_DAMAGE = (
    "corrupt",
    "zero",
    "bad-crc",
    "bad-text",
    "too-old",
    "wrong-id",
    "stale",
    "torn",
    "torn 40",
    "score 1000",
    "score 99999",
    "snapshot",
    "replay",
    "text abc",
)
_VERBS: dict[str, st.SearchStrategy[Any]] = {
    "set": st.sampled_from(["gateway", "bridge"]).flatmap(
        lambda name: st.sampled_from([0, 0.5, 1]).map(lambda value: {name: value})
    ),
    "power": st.sampled_from(["off", "on", "reset", "freeze", "thaw"]),
    "agent": st.sampled_from(["kill", "crash", "stop", "start", "freeze", "thaw"]),
    "broker": st.sampled_from(["kill", "crash", "start", "freeze", "thaw"]),
    "sanlock": st.sampled_from(["kill", "start", "freeze", "thaw"]),
    "storage": st.sampled_from(["cut", "hang", "no-writes", "no-reads", "slow 15s", "restore"]),
    "hypervisor": st.sampled_from(["lost", "back"]),
    "starts": st.sampled_from(["ok", "fail", "fail 2"]),
    "boots": st.sampled_from(["ok", "never", "die 20"]),
    "migrations": st.sampled_from(["ok", "fail", "fail 1", "hang"]),
    "failed_starts": st.integers(0, 3),
    "maintenance": st.sampled_from(["on", "off"]),
    "clock": st.sampled_from(["+1h", "-1h", "rate 1.01", "rate 0.99"]),
    "slot": st.sampled_from(_DAMAGE),
}
# Just under, at and over the machine's own times, and anywhere else.
_MOMENTS = st.one_of(
    st.sampled_from([60, 119.9, 120, 120.1, 200, 360, 660, 661]),
    st.floats(0, FAULTS_S).map(lambda value: round(value, 1)),
)


@st.composite
def _entries(draw: st.DrawFn, hosts: int, *, sleeps: bool) -> dict[str, Any]:
    at = draw(_MOMENTS)
    kinds = [*_VERBS, "global", "slot 0", "engine", *(["sleep"] if sleeps else [])]
    kind = draw(st.sampled_from(kinds))
    if kind == "sleep":
        word = draw(st.sampled_from(["suspend", "suspend", "resume"]))
        return {"at": at, "host": draw(st.integers(1, hosts)), "power": word}
    if kind == "global":
        return {"at": at, "maintenance": draw(st.sampled_from(["global", "none"]))}
    if kind == "slot 0":
        damage = ["corrupt", "zero", "text maintenanbe=1", "text maintenance=q"]
        return {"at": at, "host": 0, "slot": draw(st.sampled_from(damage))}
    if kind == "engine":
        words = ["kill", "panic", "shutdown", "hang", "heal", "pause", "resume"]
        words += [f"migrate {host}" for host in range(1, hosts + 1)]
        return {"at": at, "engine": draw(st.sampled_from(words))}
    value = draw(_VERBS[kind])
    entry = {"at": at, "host": draw(st.integers(1, hosts)), kind: value}
    if kind == "slot" and value != "snapshot" and draw(st.booleans()):
        entry["for"] = draw(st.sampled_from([10, 59.9, 60.1, 300]))
    return entry


def _healed() -> list[dict[str, Any]]:
    everywhere: dict[str, Any] = {"at": FAULTS_S, "hosts": "all"}
    return [
        {**everywhere, "power": "thaw"},
        {**everywhere, "power": "resume"},
        {**everywhere, "power": "on"},
        {**everywhere, "storage": "restore"},
        {**everywhere, "broker": "thaw"},
        {**everywhere, "broker": "start"},
        {**everywhere, "sanlock": "thaw"},
        {**everywhere, "sanlock": "start"},
        {**everywhere, "hypervisor": "back"},
        {**everywhere, "starts": "ok"},
        {**everywhere, "boots": "ok"},
        {**everywhere, "migrations": "ok"},
        {**everywhere, "maintenance": "off"},
        {"at": FAULTS_S, "maintenance": "none"},
        {**everywhere, "set": {"gateway": 1, "bridge": 1}},
        {**everywhere, "agent": "thaw"},
        {"at": FAULTS_S + 121, "hosts": "all", "agent": "start"},
    ]


def back_within_s(policy: Policy) -> float:
    """
    Say how long after all faults ended an engine is up at the latest.

    The slowest way: a start that never becomes healthy has just begun everywhere, has to time out
    and be stopped; every host is then blocked; or a dead host's lease has to run out.
    """
    hung_s = max(policy.start_timeout_s, policy.bad_health_s) + policy.stop_timeout_s
    waits_s = policy.lease_expiry_s + policy.dead_after_s + policy.settle_s + policy.stagger_total_s
    return 121 + hung_s + policy.block_max_s + waits_s + 60 + 10 * policy.loop_s


@st.composite
def healed_scenarios(draw: st.DrawFn, *, sleeps: bool = False) -> Scenario:
    """
    Draw a scenario with faults for an hour and two hours without.

    *sleeps*: hosts are suspended too. Where no agent looks after that, two VMs may execute.
    """
    hosts = draw(st.integers(1, 6))
    faults = draw(st.lists(_entries(hosts, sleeps=sleeps), min_size=1, max_size=12))
    spec = {
        "name": "random",
        "hosts": hosts,
        "engine": {"running_on": draw(st.sampled_from([None, *range(1, hosts + 1)]))},
        "world": {
            "io_timeout": draw(st.sampled_from([1, 2, 10])),
            "loop": draw(st.sampled_from([5, 10])),
            "cold": draw(st.booleans()),
            "arrival_timeout": draw(st.sampled_from([0, 0, 60])),
        },
        "seed": draw(st.integers(0, 1000)),
        "timeline": sorted(faults, key=lambda entry: entry["at"]) + _healed(),
        "until": FAULTS_S + RUNS_ON_S,
    }
    return parse_scenarios(yaml.safe_dump({"scenarios": [spec]}), "random")[0]
