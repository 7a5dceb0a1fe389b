"""`he-fsm tune`: what it proposes, and what it needs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Callable

from tests.campaign.campaigns import written
from tests.cli.conftest import Ran

VM = "{cause: vm, mtbf: 1d}"
MORE = "horizon: 5d\nruns: 2\nvary: {world.vm_boot: [90s, 30s]}\n"
AIM = "aim: {least: downtime, at_most: {starts: 900}}"


def test_a_proposal_is_shown_with_what_it_buys(run: Callable[..., Ran], tmp_path: Path) -> None:
    ran = run("tune", written(tmp_path, VM, MORE + AIM), "--jobs", 1, "--trials", 10)
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[:3] == [
        "Aim: least downtime with at most 900 starts a year",
        "Proposed, of 2 points that were played with seeds 1 to 2:",
        "  world.vm_boot: 30s",
    ]
    assert lines[4] == "A year, judged on the fresh seeds 3 to 4:"
    assert re.split("  +", lines[5].strip()) == [
        *("measure", "as written", "proposed", "less", "by chance", "at most"),
    ]
    assert re.match(r"  downtime +[\d.]+ (min|h) .* p [=<] [\d.]+$", lines[6])
    assert re.match(r"  starts .* p = 1 +900$", lines[7])


def test_it_says_when_a_limit_is_missed_and_when_nothing_is_sure(
    run: Callable[..., Ran], tmp_path: Path
) -> None:
    aim = "{least: moves, at_most: {starts: 0}}"
    ran = run("tune", written(tmp_path, VM, MORE), "--jobs", 1, "--trials", 10, "--aim", aim)
    assert ran.status == 0
    assert ran.out.splitlines()[-2:] == [
        "The proposal misses a limit of the aim on these seeds.",
        "Nothing is gained: the current values are as good. Keep them.",
    ]


def test_the_json_object(run: Callable[..., Ran], tmp_path: Path) -> None:
    ran = run("tune", written(tmp_path, VM, MORE + AIM), "--jobs", 1, "--trials", 10, "--json")
    found = json.loads(ran.out)
    assert set(found) == {"aim", "settings", "tried", "keeps_limits", "measures", "judged"}
    assert found["settings"] == {"world.vm_boot": "30s"}
    assert found["measures"]["downtime"]["gain"]["value"] > 0


def test_what_is_missing_is_said(refused: Callable[..., str], tmp_path: Path) -> None:
    path = written(tmp_path, VM, MORE)
    assert refused("tune", path) == f"{path}: the key 'aim' is missing; or give --aim"
    path = written(tmp_path, VM, AIM)
    assert refused("tune", path).endswith(
        ": the key 'vary' is missing: it says what may be changed"
    )
    assert refused("tune", path, "--aim", "{least: x}").startswith("--aim {least: x}: aim.least: ")
