from __future__ import annotations

import json
from typing import Any, Callable

import pytest

from tests.cli.conftest import Ran


def scored(run: Callable[..., Ran], *arguments: str) -> dict[str, Any]:
    ran = run("score", "--json", *arguments)
    assert ran.status == 0
    found: dict[str, Any] = json.loads(ran.out)
    return found


@pytest.mark.parametrize(
    ("arguments", "total"),
    [
        ("", 2400),
        ("--gateway 0", 1400),
        ("--gateway 0.5", 1900),
        ("--bridge 0", 1600),
        ("--mem-free 4095", 2000),
        ("--mem-free 0 --vm-here", 2400),
        ("--mem-free 5000 --memory 6000", 2000),
        ("--cpu-load 0.9", 2300),
        ("--mem-load 0.9", 2300),
        ("--failed-starts 2", 2300),
        ("--failed-starts 3", 0),
        ("--maintenance", 0),
        ("--policy ovirt", 3400),
        ("--set policy.gateway_weight=500", 1900),
        ("--policy ovirt --set policy.gateway_weight=1000 --gateway 0", 2400),
    ],
)
def test_a_host_is_scored_by_its_readings(
    run: Callable[..., Ran], arguments: str, total: int
) -> None:
    assert scored(run, *arguments.split())["score"] == total
    assert f"score {total:>15} of " in run("score", *arguments.split()).out


def test_the_parts_are_named_with_a_reason(run: Callable[..., Ran]) -> None:
    found = scored(run, "--gateway", "0.5", "--failed-starts", "1")
    assert (found["policy"], found["of"], found["zero_because"]) == ("talk", 2400, None)
    parts = {part["name"]: part for part in found["parts"]}
    assert (parts["gateway"]["points"], parts["gateway"]["weight"]) == (500, 1000)
    assert sum(part["points"] for part in found["parts"]) == found["score"] == 1850
    lines = run("score", "--gateway", "0.5", "--failed-starts", "1").out.splitlines()
    assert len(lines) == len(parts) + 1
    assert all(part["why"] in line for part, line in zip(found["parts"], lines))


def test_a_score_of_0_says_why(run: Callable[..., Ran]) -> None:
    assert "maintenance" in scored(run, "--maintenance")["zero_because"]
    assert "score 0: " in run("score", "--maintenance").out


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("--gateway", value) for value in ("1.1", "-0.1", "nan", "maybe")],
        *[("--bridge", value) for value in ("2", "nan")],
        *[("--mem-free", value) for value in ("-1", "inf", "nan")],
        *[("--cpu-load", value) for value in ("-0.5", "inf", "95")],
        ("--mem-load", "nan"),
        ("--memory", "inf"),
        ("--failed-starts", "-1"),
        ("--failed-starts", "0.5"),
        ("--policy", "none"),
    ],
)
def test_what_no_monitor_gives_is_refused(run: Callable[..., Ran], option: str, value: str) -> None:
    ran = run("score", option, value)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"he-fsm: invalid value for '{option}'")


def test_a_value_that_can_not_be_set_is_one_sentence(refused: Callable[..., str]) -> None:
    assert refused("score", "--set", "gateway_weight").startswith("--set gateway_weight: expected")
    assert refused("score", "--set", "=5").startswith("--set =5: expected KEY=VALUE")
    assert refused("score", "--set", "policy.gateway_weight=x").startswith(
        "--set policy.gateway_weight=x: "
    )
    assert "did you mean 'gateway_weight'?" in refused("score", "--set", "policy.gatway_weight=1")
