"""
A broken property as a scenario file, for `he-fsm simulate` and `he-fsm rehearse`.

The scenario has the same times, the same faults at the same loops, and expects the property that
was broken. The language can't express the order of the hosts' passes within one loop, which depends
on the seed. So seeds are tried until one breaks the property in the simulator too. If none does,
the file says so.
"""

from __future__ import annotations

import textwrap
from typing import Any, NamedTuple, Optional

import attrs
import yaml

from he_fsm.check.expand import Bounds
from he_fsm.check.faults import KINDS, WORDS
from he_fsm.check.properties import Action, Property
from he_fsm.check.result import Verdict, bound_loops
from he_fsm.check.scale import LOOP_S, of_each_host, with_small_times
from he_fsm.check.search.paths import Run
from he_fsm.policy import POLICIES, TALK, Policy
from he_fsm.report.outcome import Outcome
from he_fsm.scenario.language.policies import FROM_WORLD
from he_fsm.scenario.language.reading import parse_scenarios
from he_fsm.scenario.model import Scenario
from he_fsm.simulate.run import simulate

_SEEDS = 40
# The time within its loop of a fault that strikes before the passes, in seconds.
_STRIKES_S = 0.5
_PASSING = ("EngineStarting", "EngineStopping", "EngineMigratingAway", "ScoreBlocked")
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
    "shutdown_delay": "70s",
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
    "stop": {"agent": "stop"},
    "sanlock": {"sanlock": "kill"},
    "suspend": {"power": "suspend"},
    "leave": {"power": "shutdown"},
    "boot": {"power": "on"},
    "stays": {"power": "stay"},
    "agent again": {"agent": "start"},
    "restore": {"storage": "restore"},
    "gateway again": {"set": {"gateway": 1}},
    "no maintenance": {"maintenance": "off"},
    "hypervisor again": {"hypervisor": "back"},
    "sanlock again": {"sanlock": "start"},
    "awake again": {"power": "resume"},
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
# These faults strike when a start or a migration ends; the language orders them in advance.
_BEFORE: dict[str, dict[str, Any]] = {
    "start": {"starts": "fail 1"},
    "migration": {"migrations": "fail 1"},
    "stuck": {"migrations": "hang"},
}
_BEFORE_LOOPS = 2
_SHOWN = "he-fsm simulate shows it with this seed: the expectation or rule fails."
_NOT_SHOWN = (
    "The nearest that the language can say: he-fsm simulate does not show it with the first"
    f" {_SEEDS} seeds. The order of the looks within a loop is not in the language."
)
_WIDTH = 96


class Counterexample(NamedTuple):
    """A scenario file's text, the run that shows the breach best, and its story loop by loop."""

    text: str
    outcome: Outcome
    is_reproduced: bool
    told: tuple[str, ...]
    shown: str


def counterexample(verdict: Verdict, bounds: Bounds) -> Optional[Counterexample]:
    """Return the scenario of a property broken within bounds; None: it is not about a run."""
    run = verdict.run
    if run is None:
        return None
    spec = _scenario(verdict, run, bounds)
    spec["seed"], is_reproduced = _best_seed(spec)
    told = tuple(_told(run))
    shown = _SHOWN if is_reproduced else " ".join((_NOT_SHOWN, *_not_said(run)))
    heading = _heading(verdict, told, shown)
    body = yaml.safe_dump({"scenarios": [spec]}, sort_keys=False, allow_unicode=True, width=_WIDTH)
    text = "".join(f"# {line}\n" if line else "#\n" for line in heading) + body
    # Parsed again from the text of the file, so that places are lines of the file.
    (scenario,) = parse_scenarios(text, f"{spec['name']}.yaml")
    return Counterexample(text, simulate(scenario), is_reproduced, told, shown)


def has_no_verb(kind: str) -> bool:
    """Return whether the language has no verb for a fault or repair (`shutdown` is in `world`)."""
    return kind in WORDS and kind != "shutdown" and not _entries(kind, 1, 0.0, 1)


def _not_said(run: Run) -> list[str]:
    """Say which actions the scenario leaves out, because the language has no verb for them."""
    actions = [action for each in (*run.rounds, *run.circle) for action in each]
    missing = [_said(action) for action in actions if has_no_verb(action[0])]
    return [f"Not in it either: {'; '.join(dict.fromkeys(missing))}."] if missing else []


def _best_seed(spec: dict[str, Any]) -> tuple[int, bool]:
    """Return the first seed with which the scenario fails, and whether there is one."""
    scenario = _read(spec)
    for seed in range(1, _SEEDS + 1):
        if not simulate(scenario, seed=seed).passed:
            return seed, True
    return 1, False


def _read(spec: dict[str, Any]) -> Scenario:
    return parse_scenarios(yaml.safe_dump({"scenarios": [spec]}), "counterexample")[0]


def _scenario(verdict: Verdict, run: Run, bounds: Bounds) -> dict[str, Any]:
    is_cold = run.beginning.is_cold
    ends_s = LOOP_S * (len(run.rounds) + len(run.circle))
    by_s = ends_s + LOOP_S * bound_loops(bounds)
    world = {**_WORLD, "cold": True} if is_cold else dict(_WORLD)
    if any(kind == "shutdown" for each in run.rounds for kind, _, _ in each):
        world["vm_shutdown"] = "1h"
    if any(kind == "arrival" for each in run.rounds for kind, _, _ in each):
        world["arrival_timeout"] = "1y"
    if not bounds.pause_keeps_lease:
        world["pause_keeps_lease"] = False
    return {
        "name": f"check-{verdict.prop.value}",
        "about": f"{verdict.prop.meaning}: {verdict.seen}",
        "policy": _changes(bounds.policy),
        "world": world,
        "seed": 1,
        "hosts": _hosts(run, bounds),
        "engine": {"running_on": None if is_cold else 1},
        "timeline": _timeline(run, bounds.hosts),
        "until": _seconds(by_s + LOOP_S),
        "expect": _expectations(verdict.prop, run, bounds.policy, by_s),
    }


def _hosts(run: Run, bounds: Bounds) -> list[dict[str, Any]]:
    """Return the hosts, with the failed starts that they begin with, and their own watchdogs."""
    hosts: list[dict[str, Any]] = []
    policies = of_each_host(bounds.policy, bounds.hosts, bounds.watchdogs)
    for host_id, (count, policy) in enumerate(zip(run.beginning.failed, policies), start=1):
        host: dict[str, Any] = {"id": host_id}
        if count:
            host["failed_starts"] = {"count": count, "last": "0s"}
        if bounds.watchdogs:
            host["watchdog_time"] = _seconds(policy.watchdog_s)
        hosts.append(host)
    return hosts


def _expectations(prop: Property, run: Run, policy: Policy, by_s: float) -> list[dict[str, Any]]:
    """Return the expectations that the right machine meets, and the broken one does not."""
    hosts = len(run.beginning.failed)
    expected: list[dict[str, Any]] = [{"from": "0s", "running": "<= 1"}]
    if prop is Property.NO_NEEDLESS_WORK:
        expected += _no_more_than_needed(run, hosts)
    if prop is Property.LEASE:
        expected.append({"total": {"refused_starts": "<= 1"}})
    if prop is Property.RECOVERY:
        expected.append({"at": _seconds(by_s), "engine": "good"})
    if prop is Property.MIGRATIONS:
        expected.append({"total": {"migrations": f"<= {hosts}", "failed_migrations": "<= 1"}})
    if prop is Property.WAY_OUT:
        at = {"from": _seconds(by_s), "to": _seconds(by_s), "never": True}
        expected += [
            {**at, "state": {host: state}} for host in range(1, hosts + 1) for state in _PASSING
        ]
    if prop is Property.MAINTENANCE:
        expected += _left_alone(run)
    if prop is Property.FAILED_STARTS:
        small = with_small_times(policy)
        blocked = [
            host
            for host, count in enumerate(run.beginning.failed, start=1)
            if count >= small.failed_starts_max
        ]
        expected.append({"total": {"failed_starts": f"<= {small.failed_starts_max}"}})
        to = _seconds(small.block_s - 1)
        expected += [{"total": {"starts": 0}, "host": host, "to": to} for host in blocked]
    return expected


def _no_more_than_needed(run: Run, hosts: int) -> list[dict[str, Any]]:
    """Expect at most one start for each fault, and one if cold; others may be refused once each."""
    struck = sum(kind in KINDS for each in run.rounds for kind, _, _ in each)
    starts = struck + run.beginning.is_cold
    refused = starts * (hosts - 1)
    return [{"total": {"starts": f"<= {starts}", "refused_starts": f"<= {refused}"}}]


def _left_alone(run: Run) -> list[dict[str, Any]]:
    """Expect no start where maintenance was set and lasts, once hosts can have read that."""
    expected: list[dict[str, Any]] = []
    for index, actions in enumerate(run.rounds):
        for kind, host, _ in actions:
            seen = {"from": _seconds(LOOP_S * (index + 2)), "total": {"starts": 0}}
            if kind == "global":
                expected.append(seen)
            elif kind == "maintenance":
                expected.append({**seen, "host": host})
    ends = any(kind in ("none", "no maintenance") for each in run.rounds for kind, _, _ in each)
    return [] if ends else expected


def _timeline(run: Run, hosts: int) -> list[dict[str, Any]]:
    """Return faults and repairs at their loops; those after some readings, at mid-loop."""
    entries: list[tuple[float, dict[str, Any]]] = []
    for index, actions in enumerate((*run.rounds, *run.circle)):
        at_s = LOOP_S * index + _STRIKES_S
        for kind, host, _ in actions:
            if kind in ("read", "order"):
                at_s = LOOP_S * (index + 0.5)
            entries += [(when_s, entry) for when_s, entry in _entries(kind, host, at_s, hosts)]
    entries.sort(key=lambda entry: entry[0])
    return [{"at": _seconds(when_s), **entry} for when_s, entry in entries]


def _entries(kind: str, host: int, at_s: float, hosts: int) -> list[tuple[float, dict[str, Any]]]:
    if kind in _ON_HOST:
        return [(at_s, {"host": host, **_ON_HOST[kind]})]
    if kind in _ENGINE:
        return [(at_s, {"engine": _ENGINE[kind]})]
    if kind in _CLUSTER:
        return [(at_s, dict(_CLUSTER[kind]))]
    if kind == "arrival":
        # One that migrates already goes on to its own target.
        moved = {"engine": f"migrate {host % hosts + 1}"}
        return [(at_s, moved), (at_s, {"host": host, "power": "off"})]
    if kind == "outside":
        return [(at_s, {"engine": f"migrate {host % hosts + 1}"})]
    if kind in _BEFORE:
        return [(max(0.0, at_s - _BEFORE_LOOPS * LOOP_S), {"host": host, **_BEFORE[kind]})]
    return []


def _changes(policy: Policy) -> dict[str, Any]:
    """Return the policy with small times, in a scenario's form."""
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


def _heading(verdict: Verdict, told: tuple[str, ...], shown: str) -> list[str]:
    return [
        f"Found by he-fsm check. Broken: {verdict.prop.value} ({verdict.prop.meaning}).",
        f"Seen: {verdict.seen}.",
        "",
        "Loop by loop:",
        *told,
        "",
        *textwrap.wrap(shown, _WIDTH - len("# ")),
    ]


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
    again = [
        line
        for index, actions in enumerate(run.circle, start=len(run.rounds) + 1)
        for line in _told_round(index, actions)
    ]
    if again:
        lines += ["  from here on, again and again:", *again]
    elif run.circle:
        lines.append("  from here on they look, again and again, and do nothing")
    return lines


def _told_round(index: int, actions: tuple[Action, ...]) -> list[str]:
    """Tell a round in which something happened: faults, repairs, orders, and the passes around."""
    matters = any(kind not in ("write", "read", "tick") for kind, _, _ in actions)
    said = [_said(action) for action in actions if matters and action[0] != "tick"]
    return [f"{index:5}: {'; '.join(said)}"] if said else []


def _said(action: Action) -> str:
    kind, host, detail = action
    if kind == "write":
        return f"host {host} writes"
    if kind == "read":
        who = str(host) if host else detail
        return f"hosts {who} read and decide" if "," in who else f"host {who} reads and decides"
    if kind == "order":
        return f"host {host} orders: {detail}"
    words = WORDS[kind]
    return f"host {host} {words}" if host else words
