"""
A broken property as a scenario file, for `he-fsm simulate` and `he-fsm rehearse`.

The scenario has the same times, the same faults at the same loops, and expects what was broken. The
order of the hosts' looks within one loop is not in the language: it goes by the seed. So seeds are
tried until one breaks the property in the simulator too; where none does, the file says so.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import attrs
import yaml

from he_fsm.check.faults import WORDS
from he_fsm.check.paths import Run
from he_fsm.check.properties import Action, Property
from he_fsm.check.result import Verdict, bound_loops
from he_fsm.check.scale import LOOP_S, with_small_times
from he_fsm.policy import POLICIES, TALK, Policy
from he_fsm.report.outcome import Outcome
from he_fsm.scenario.model import Scenario
from he_fsm.scenario.policies import FROM_WORLD
from he_fsm.scenario.reading import parse_scenarios
from he_fsm.simulate.run import simulate

_SEEDS = 40
# The first loop of the run, so that every agent has looked before; a fault strikes between looks.
_FIRST_S = 3 * LOOP_S
_STRIKES_S = 0.5
# Start, boot, shutdown and migration each last longer than one loop, and less than two.
_WORLD: dict[str, Any] = {
    "loop": "10s",
    "jitter": "0s",
    "io_timeout": "2.5s",
    "vm_start": "15s",
    "vm_boot": "15s",
    "vm_shutdown": "15s",
    "migration": "15s",
    "reboot": "1s",
}
_ON_HOST: dict[str, dict[str, Any]] = {
    "crash": {"power": "off"},
    "agent": {"agent": "kill"},
    "cut": {"storage": "cut"},
    "gateway": {"set": {"gateway": 0}},
    "maintenance": {"maintenance": "on"},
    "clock": {"clock": "+1h"},
    "hypervisor": {"hypervisor": "lost"},
    "stale": {"slot": "stale"},
    "upgrade": {"version": 2},
    "boot": {"power": "on"},
    "agent again": {"agent": "start"},
    "restore": {"storage": "restore"},
    "gateway again": {"set": {"gateway": 1}},
    "no maintenance": {"maintenance": "off"},
    "hypervisor again": {"hypervisor": "back"},
}
_ENGINE: dict[str, str] = {
    "vm": "kill",
    "hang": "hang",
    "heal": "heal",
    "pause": "pause",
    "resume": "resume",
}
_CLUSTER: dict[str, dict[str, Any]] = {
    "global": {"maintenance": "global"},
    "none": {"maintenance": "none"},
}
# Bad luck is settled where a start, a shutdown or a migration ends; the language sets it before.
_BEFORE: dict[str, dict[str, Any]] = {
    "start": {"starts": "fail 1"},
    "migration": {"migrations": "fail 1"},
    "stuck": {"migrations": "hang"},
}
_BEFORE_LOOPS = 2


class Counterexample(NamedTuple):
    """A scenario file's text, and the run that shows it best."""

    text: str
    outcome: Outcome
    is_reproduced: bool


def counterexample(verdict: Verdict, policy: Policy, hosts: int) -> Optional[Counterexample]:
    """Give the scenario of a broken property; None where it is about no run."""
    run = verdict.run
    if run is None:
        return None
    spec = _scenario(verdict, run, policy, hosts)
    outcome, is_reproduced = _replayed(spec)
    spec["seed"] = outcome.seed
    heading = _heading(verdict, run, is_reproduced=is_reproduced)
    body = yaml.safe_dump({"scenarios": [spec]}, sort_keys=False, allow_unicode=True, width=96)
    text = "".join(f"# {line}\n" if line else "#\n" for line in heading) + body
    return Counterexample(text, outcome, is_reproduced)


def _replayed(spec: dict[str, Any]) -> tuple[Outcome, bool]:
    """Play it with one seed after the other, until one fails; else give the first run."""
    scenario = _read(spec)
    first = None
    for seed in range(1, _SEEDS + 1):
        outcome = simulate(scenario, seed=seed)
        if not outcome.passed:
            return outcome, True
        first = first or outcome
    assert first is not None  # noqa: S101 - there are seeds
    return first, False


def _read(spec: dict[str, Any]) -> Scenario:
    return parse_scenarios(yaml.safe_dump({"scenarios": [spec]}), "counterexample")[0]


def _scenario(verdict: Verdict, run: Run, policy: Policy, hosts: int) -> dict[str, Any]:
    timeline = _timeline(run, hosts)
    is_cold = run.beginning.is_cold
    ends_s = _FIRST_S + LOOP_S * (len(run.rounds) + len(run.circle))
    bound_s = LOOP_S * bound_loops(policy)
    until_s = ends_s + bound_s + LOOP_S
    spec: dict[str, Any] = {
        "name": f"check-{verdict.prop.value}",
        "about": f"{verdict.prop.meaning}: {verdict.seen}",
        "policy": _changes(policy),
        "world": {**_WORLD, "cold": True} if is_cold else dict(_WORLD),
        "seed": 1,
        "hosts": _hosts(run),
        "engine": {"running_on": None if is_cold else 1},
        "timeline": timeline,
        "until": _seconds(until_s),
        "expect": _expectations(verdict.prop, hosts, ends_s + bound_s),
    }
    return spec


def _hosts(run: Run) -> list[dict[str, Any]]:
    """Give the hosts, with the failed starts that they begin with."""
    return [
        {"id": host_id, "failed_starts": {"count": count, "last": "0s"}}
        if count
        else {"id": host_id}
        for host_id, count in enumerate(run.beginning.failed, start=1)
    ]


def _expectations(prop: Property, hosts: int, by_s: float) -> list[dict[str, Any]]:
    expected: list[dict[str, Any]] = [{"from": "0s", "running": "<= 1"}]
    if prop is Property.RECOVERY:
        expected.append({"at": _seconds(by_s), "engine": "good"})
    if prop is Property.MIGRATIONS:
        expected.append({"total": {"migrations": f"<= {hosts}", "failed_migrations": "<= 1"}})
    if prop is Property.WAY_OUT:
        passing = ["EngineStarting", "EngineStopping", "EngineMigratingAway", "ScoreBlocked"]
        expected += [
            {"at": _seconds(by_s), "never": True, "state": {host: state}}
            for host in range(1, hosts + 1)
            for state in passing
        ]
        for entry in expected[1:]:
            entry["from"] = entry["to"] = entry.pop("at")
    if prop is Property.FAILED_STARTS:
        expected.append({"total": {"failed_starts": "<= 2", "refused_starts": "<= 2"}})
    return expected


def _timeline(run: Run, hosts: int) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for index, actions in enumerate((*run.rounds, *run.circle)):
        looks = [0] * (hosts + 1)
        for kind, host, detail in actions:
            if kind in ("write", "read", "order"):
                looks[host] += 1
                continue
            at_s = _FIRST_S + LOOP_S * index + _STRIKES_S
            entries += _entries(kind, host, detail, at_s, hosts)
    return sorted(entries, key=lambda entry: float(str(entry["at"])[:-1]))


def _entries(kind: str, host: int, detail: str, at_s: float, hosts: int) -> list[dict[str, Any]]:
    del detail
    at = {"at": _seconds(at_s)}
    if kind in _ON_HOST:
        return [{**at, "host": host, **_ON_HOST[kind]}]
    if kind in _ENGINE:
        return [{**at, "engine": _ENGINE[kind]}]
    if kind in _CLUSTER:
        return [{**at, **_CLUSTER[kind]}]
    if kind == "outside":
        return [{**at, "engine": f"migrate {host % hosts + 1}"}]
    if kind in _BEFORE:
        before_s = max(0.0, at_s - _BEFORE_LOOPS * LOOP_S)
        return [{"at": _seconds(before_s), "host": host, **_BEFORE[kind]}]
    return []


def _changes(policy: Policy) -> dict[str, Any]:
    """Give a policy with small times as a scenario says it."""
    small = with_small_times(policy)
    base = POLICIES.get(policy.name, TALK)
    changed = {
        field.name: getattr(small, field.name)
        for field in attrs.fields(Policy)
        if field.name not in FROM_WORLD
        and field.name != "name"
        and getattr(small, field.name) != getattr(base, field.name)
    }
    return {"base": base.name, **changed}


def _seconds(seconds: float) -> str:
    return f"{seconds:g}s"


def _heading(verdict: Verdict, run: Run, *, is_reproduced: bool) -> list[str]:
    lines = [
        f"Found by he-fsm check. Broken: {verdict.prop.value} ({verdict.prop.meaning}).",
        f"Seen: {verdict.seen}.",
        "",
        "Loop by loop:",
        *_told(run),
        "",
    ]
    if is_reproduced:
        lines.append("he-fsm simulate shows it with this seed: the expectation or rule fails.")
    else:
        lines += [
            "The nearest that the language can say: he-fsm simulate does not show it with the",
            f"first {_SEEDS} seeds. The order of the looks within a loop is not in the language.",
        ]
    return lines


def _told(run: Run) -> list[str]:
    lines = []
    begins = "every agent starts" if run.beginning.is_cold else "the engine runs on host 1"
    lines.append(f"    0: {begins}")
    lines += [
        f"       host {host_id} counts {count} failed starts"
        for host_id, count in enumerate(run.beginning.failed, start=1)
        if count
    ]
    for index, actions in enumerate(run.rounds, start=1):
        lines += _told_round(index, actions)
    if run.circle:
        lines.append("  from here on, again and again:")
        for index, actions in enumerate(run.circle, start=len(run.rounds) + 1):
            lines += _told_round(index, actions)
    return lines


def _told_round(index: int, actions: tuple[Action, ...]) -> list[str]:
    """Say what is worth saying of a round: faults, repairs, orders, and the looks around them."""
    matters = any(kind not in ("write", "read", "tick") for kind, _, _ in actions)
    said = [_said(action) for action in actions if matters and action[0] != "tick"]
    return [f"{index:5}: {'; '.join(said)}"] if said else []


def _said(action: Action) -> str:
    kind, host, detail = action
    if kind == "write":
        return f"host {host} writes"
    if kind == "read":
        return f"host {host} reads and decides" if host else f"hosts {detail} read and decide"
    if kind == "order":
        return f"host {host} orders: {detail}"
    words = WORDS[kind]
    return f"host {host} {words}" if host else words
