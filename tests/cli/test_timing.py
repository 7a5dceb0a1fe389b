from __future__ import annotations

import json
from typing import Any, Callable

import pytest

from he_fsm.policy import TALK
from he_fsm.timing import Surroundings, inequalities, recoveries
from tests.cli.conftest import Ran


def computed(run: Callable[..., Ran], *arguments: str, status: int = 0) -> dict[str, Any]:
    ran = run("timing", "--json", *arguments)
    assert ran.status == status
    found: dict[str, Any] = json.loads(ran.out)
    return found


def test_every_recovery_and_every_inequality_is_listed(run: Callable[..., Ran]) -> None:
    ran = run("timing")
    assert ran.status == 0
    assert ran.out.startswith("Worst cases, policy talk, 3 hosts: loop 10 s (+ 1 s), io_timeout 10")
    around = Surroundings()
    for recovery in recoveries(TALK, around):
        line = next(line for line in ran.out.splitlines() if line.startswith(f"{recovery.name} "))
        assert f" {recovery.acts_s:.1f} s " in line
        assert line.endswith(recovery.parts)
    for rule in inequalities(TALK, around):
        line = next(line for line in ran.out.splitlines() if f" {rule.name} " in line)
        assert line.startswith("holds  ")
        assert f"room {-rule.excess_s:g} s: {rule.says}" in line


def test_json_has_the_same(run: Callable[..., Ran]) -> None:
    found = computed(run)
    assert found["policy"]["name"] == "talk"
    assert [each["name"] for each in found["recoveries"]] == [
        each.name for each in recoveries(TALK, Surroundings())
    ]
    crash = found["recoveries"][0]
    assert (crash["name"], crash["acts_s"], crash["good_s"]) == ("host crash", 140.0, 200.0)
    assert all(each["holds"] for each in found["inequalities"])


def test_the_figures_follow_what_is_set(run: Callable[..., Ran]) -> None:
    found = computed(run, "--set", "world.io_timeout=20s", "--set", "policy.dead_after_s=90s")
    assert found["recoveries"][0]["acts_s"] == 8 * 20 + 60
    assert found["policy"]["dead_after_s"] == 90
    assert computed(run, "--policy", "ovirt")["policy"]["name"] == "ovirt"
    one, many = (
        next(
            each["acts_s"]
            for each in computed(run, "--hosts", hosts)["recoveries"]
            if each["name"] == "VM crash"
        )
        for hosts in ("1", "250")
    )
    # Equal hosts wait for their turn.
    assert many - one == 20.0


@pytest.mark.parametrize(
    ("setting", "rule", "excess_s"),
    [
        ("world.migration=400s", "migration-within-its-timeout", 100),
        ("world.vm_boot=600s", "boot-within-start-timeout", 16),
        ("world.vm_shutdown=310s", "shutdown-within-stop-timeout", 10),
        ("policy.migration_hold_s=10", "hold-outlasts-a-look", 1.01),
    ],
)
def test_surroundings_that_do_not_fit_are_named_with_by_how_much(
    run: Callable[..., Ran], setting: str, rule: str, excess_s: float
) -> None:
    found = computed(run, "--set", setting, status=1)
    failing = [each for each in found["inequalities"] if not each["holds"]]
    assert [each["name"] for each in failing] == [rule]
    assert failing[0]["excess_s"] == pytest.approx(excess_s)
    ran = run("timing", "--set", setting)
    assert ran.status == 1
    line = next(line for line in ran.out.splitlines() if line.startswith("FAILS"))
    assert rule in line
    assert f"by {excess_s:g} s" in line
    assert ran.out.endswith(f"unsafe or contradictory: {rule}\n")


@pytest.mark.parametrize(
    ("setting", "rule", "excess_s"),
    [
        ("policy.kill_grace_s=70s", "kill-before-takeover", 10),
        ("world.loop=40s", "two-loops-before-dead", 20),
        ("policy.stagger_total_s=1m", "stagger-within-liveness", 0),
        ("world.jitter=55s", "heartbeat-within-liveness", 5.01),
    ],
)
def test_a_policy_that_is_unsafe_at_all_names_the_inequality(
    run: Callable[..., Ran], setting: str, rule: str, excess_s: float
) -> None:
    ran = run("timing", "--set", setting)
    assert (ran.status, ran.err) == (1, "")
    assert ran.out.startswith("unsafe: ")
    assert ran.out.endswith(f"(inequality {rule})\n")
    unsafe = computed(run, "--set", setting, status=1)["unsafe"]
    assert unsafe["inequality"] == rule
    assert unsafe["excess_s"] == pytest.approx(excess_s)
    assert unsafe["says"] in ran.out


def test_a_value_that_is_none_is_one_sentence(refused: Callable[..., str]) -> None:
    assert "expected a time" in refused("timing", "--set", "world.loop=soon")
    assert "unknown key" in refused("timing", "--set", "world.lopp=5s")


def test_there_is_at_least_one_host(run: Callable[..., Ran]) -> None:
    assert run("timing", "--hosts", "0").status == 2
