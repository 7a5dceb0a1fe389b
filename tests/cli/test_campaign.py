"""`he-fsm campaign`: what it prints and writes, and that it can be stopped and continued."""

from __future__ import annotations

import base64
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Callable

import pytest

from he_fsm.campaign.results import CampaignResult
from tests.campaign.campaigns import written
from tests.cli.conftest import ROOT, Ran, command_line, environment
from tests.cli.terminal import ANSI, Terminal

FAULTS = "{cause: vm, mtbf: 1d}\n{cause: host, mtbf: 3d, repair: 20m}"
MORE = "horizon: 5d\nruns: 3\nvary: {world.vm_boot: [55s, 90s]}"
WAIT_S = 60


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a small campaign."""
    return written(tmp_path, FAULTS, MORE)


def json_of(run: Callable[..., Ran], *arguments: object) -> dict[str, Any]:
    ran = run("campaign", "--json", *arguments)
    assert (ran.status, ran.err) == (0, "")
    found: dict[str, Any] = json.loads(ran.out)
    return found


def test_variations_are_shown_side_by_side_with_the_best_and_its_causes(
    run: Callable[..., Ran], file: Path
) -> None:
    ran = run("campaign", file, "--jobs", 1)
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "Campaign c"
    assert lines[1] == "6 runs of 5 d: 0.08219 cluster-years, intervals at 95 %"
    assert re.match(r"  variation +availability +downtime a year +outages +p50 +p99 ", lines[3])
    assert re.match(r"  world.vm_boot=55s +99\.\d{4} % \(.* to .* %\) .* best$", lines[4])
    assert re.match(r"  world.vm_boot=90s .* (real|not real at 95 %) \(p [<=] [\d.]+\)$", lines[5])
    assert lines[7] == "Downtime a year by cause: world.vm_boot=55s"
    assert {line.split()[0] for line in lines[9:11]} == {"vm", "host"}


@pytest.mark.once
def test_a_narrow_terminal_gets_a_line_for_each_figure(file: Path) -> None:
    terminal = Terminal(80, "campaign", file, "--jobs", 1)
    lines = [line.rstrip() for line in ANSI.sub("", terminal.text).split("\n")]
    assert max(map(len, lines[1:])) <= 80
    first = lines.index("  world.vm_boot=55s")
    assert re.match(r"    availability +\d+\.\d{4} % \(", lines[first + 1])
    assert "    more than the best  best" in lines[first + 2 : lines.index("  world.vm_boot=90s")]


def test_every_core_gives_what_one_gives(run: Callable[..., Ran], file: Path) -> None:
    alone = json_of(run, file, "--jobs", 1)
    assert json_of(run, file, "--jobs", 2) == alone
    assert CampaignResult.from_json(alone).is_complete
    assert [len(each["runs"]) for each in alone["variations"]] == [3, 3]


def test_values_can_be_set(run: Callable[..., Ran], file: Path) -> None:
    found = json_of(run, file, "--jobs", 1, "--runs", 1, "--set", "faults.vm.mtbf=1h")
    runs = [each["runs"] for each in found["variations"]]
    assert [len(each) for each in runs] == [1, 1]
    assert runs[0][0]["starts"] > 60


def test_results_are_written_for_other_programs(
    run: Callable[..., Ran], file: Path, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    result = CampaignResult.from_json(
        json_of(
            *(run, file, "--jobs", 1),
            *("--csv", tmp_path / "r.csv", "--parquet", tmp_path / "r.parquet"),
        )
    )
    with (tmp_path / "r.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["world.vm_boot"] for row in rows] == ["55s"] * 3 + ["90s"] * 3
    runs = [each for variation in result.variations for each in variation.runs]
    for row, each in zip(rows, runs):
        assert int(row["seed"]) == each.seed
        assert float(row["downtime_s"]) == each.downtime_s
        assert float(row["downtime_s_vm"]) == each.downtime_by_cause.get("vm", 0.0)
        assert int(row["outages"]) == len(each.outages)
    table = parquet.read_table(tmp_path / "r.parquet")
    assert table.column_names == list(rows[0])
    assert table.column("downtime_s").to_pylist() == [each.downtime_s for each in runs]


def test_the_worst_runs_are_scenarios_that_play_the_same(
    run: Callable[..., Ran], file: Path, tmp_path: Path
) -> None:
    ran = run("campaign", file, "--jobs", 1, "--worst", 2, tmp_path / "worst")
    shown = re.findall(r"(\d[\d.]*) (s|min)  (\S+\.yaml)$", ran.out, re.MULTILINE)
    result = CampaignResult.from_json(json_of(run, file, "--jobs", 1))
    worst = result.worst(2)
    assert len(shown) == len(list((tmp_path / "worst").iterdir())) == 2
    for each, (_, _, path) in zip(worst, shown):
        assert Path(path).stem == result.scenario_name(each)
        played = json.loads(run("simulate", "--json", path).out)["scenarios"][0]
        assert played["seed"] == each.seed
        assert played["totals"]["downtime"] == pytest.approx(each.downtime_s, abs=0.01)
        assert played["totals"]["longest_outage"] == pytest.approx(each.longest_outage_s, abs=0.01)
        assert played["totals"]["starts"] == each.starts


def test_the_page_has_the_worst_runs_to_replay(
    run: Callable[..., Ran], file: Path, tmp_path: Path
) -> None:
    pytest.importorskip("plotly")
    page, worst = tmp_path / "page.html", tmp_path / "worst"
    assert run("campaign", file, "--jobs", 1, "--html", page, "--worst", 1, worst).status == 0
    (scenario,) = worst.iterdir()
    data = base64.b64encode(scenario.read_bytes()).decode()
    assert f'download="{scenario.name}" href="data:application/yaml;base64,{data}"' in (
        page.read_text(encoding="utf-8")
    )


@pytest.mark.parametrize("option", ["--png", "--svg"])
def test_figures_are_written_for_documents(
    run: Callable[..., Ran],
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
) -> None:
    pytest.importorskip("plotly")
    pytest.importorskip("kaleido")
    written: list[str] = []
    monkeypatch.setattr(
        "he_fsm.cli.campaign.write_pictures",
        lambda pictures, folders: written.extend(
            f"{folder}/{picture.name}.{kind}"
            for picture in pictures
            for kind, folder in folders.items()
            if folder is not None
        ),
    )
    assert run("campaign", file, "--jobs", 1, "--runs", 1, option, tmp_path).status == 0
    names = ("availability", "outages", "causes")
    assert written == [f"{tmp_path}/{name}.{option[2:]}" for name in names]


@pytest.mark.once
def test_a_person_who_waits_sees_how_far_it_is(file: Path) -> None:
    terminal = Terminal(80, "campaign", file, "--jobs", 1)
    assert terminal.status == 0
    shown = re.split(r"[\r\n]+", ANSI.sub("", terminal.text))
    assert any(re.fullmatch(r"playing ━+ 6/6 0:00:\d\d left: 0:00:00", line) for line in shown)


def test_the_schema_is_printed(run: Callable[..., Ran]) -> None:
    schema = json.loads(run("campaign", "--schema").out)
    assert set(schema["properties"]) == {"campaign"}


def test_what_can_not_be_written_is_said_before_anything_is_played(
    refused: Callable[..., str], file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("plotly")
    pytest.importorskip("pyarrow")

    def play(*_: object) -> None:
        pytest.fail("a run was played")

    monkeypatch.setattr("he_fsm.cli.campaign.run_campaign", play)
    for option in ("--csv", "--parquet", "--html"):
        path = tmp_path / "no" / "file"
        said = refused("campaign", file, option, path)
        assert said == f"can't write {path}: No such file or directory"
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "'he-fsm[parquet]'" in refused("campaign", file, "--parquet", tmp_path / "file")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--set", "world.lop=5s"], "--set world.lop=5s: campaign.world.lop: unknown key"),
        (["--set", "world"], "--set world: expected KEY=VALUE"),
        (["--results", "."], None),
        (["--csv", "no/such/folder.csv"], "can't write no/such/folder.csv: No such file or"),
        (["--worst", 1, "campaign.yaml/x"], "can't make the folder campaign.yaml/x: Not a dir"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    run: Callable[..., Ran],
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[object],
    said: str | None,
) -> None:
    monkeypatch.chdir(file.parent)
    ran = run("campaign", file, "--jobs", 1, "--runs", 1, *options)
    assert (ran.status, ran.out) == (2, "")
    assert "Traceback" not in ran.err
    if said is not None:
        assert ran.err.startswith(f"he-fsm: {said}")


def test_a_cluster_without_workers_is_waited_for_and_that_is_said(
    run: Callable[..., Ran], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")

    class Empty:
        has_workers = False

        def play(self, batches: object) -> list[object]:  # noqa: ARG002 - as a player has it
            raise KeyboardInterrupt

    monkeypatch.setattr("he_fsm.campaign.cluster.player_at", lambda _: nullcontext(Empty()))
    ran = run("campaign", file, "--scheduler", "tcp://a:1")
    assert ran.status == 130
    assert ran.err.startswith("note: no worker has joined tcp://a:1 yet; waiting\n")


def test_a_call_without_a_file_says_what_is_missing(run: Callable[..., Ran]) -> None:
    ran = run("campaign")
    assert ran.status == 2
    assert "give a campaign file (see docs/campaign.md)" in ran.err


def test_a_package_that_is_missing_is_named(
    refused: Callable[..., str], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.delitem(sys.modules, "he_fsm.campaign.statistics", raising=False)
    said = refused("campaign", file)
    assert said == "he-fsm campaign needs the package scipy: pip install 'he-fsm[campaign]'"


@pytest.mark.once
@pytest.mark.interpreted
def test_a_broken_rule_is_shown_and_ends_with_status_1(
    run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from he_fsm.simulate.lockspace import Lockspace

    # Without leases two engines would execute at one time: sanlock kills a VM whose host can't
    # renew 80 s after its last renewal, and others take that host for dead after 60 s.
    monkeypatch.setattr(Lockspace, "can_take", lambda *_: True)
    monkeypatch.setattr(Lockspace, "seen_owner", lambda *_: None)
    path = written(tmp_path, "{cause: storage, mtbf: 6h, repair: 20m}", MORE)
    ran = run("campaign", path, "--jobs", 1)
    broken = [line for line in ran.out.splitlines() if line.startswith("BROKEN rule ")]
    assert (ran.status, bool(broken)) == (1, True)


# Stopped and continued: real processes.

LONG = "horizon: 5d\nruns: 20\nvary: {world.vm_boot: [55s, 90s]}"


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def stopped(file: Path, results: Path, *options: object, how: int) -> subprocess.Popen[str]:
    """Start a campaign and send it a signal as soon as some of its runs are there."""
    process = subprocess.Popen(
        command_line("campaign", file, "--results", results, *options),
        env=environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + WAIT_S
    while lines_of(results) < 2:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(how)
    return process


def children(process: int) -> list[Path]:
    listed = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [Path("/proc") / each for each in listed]


def minds_ctrl_c(process: Path) -> bool:
    """Return whether this process plays runs, and already ignores Ctrl-C."""
    status = (process / "status").read_text()
    masks = re.findall(r"^Sig(?:Blk|Ign|Cgt):\s*(\w+)$", status, re.MULTILINE)
    is_settled = any(int(mask, 16) & 1 << signal.SIGINT - 1 for mask in masks)
    return is_settled and b"spawn_main" in (process / "cmdline").read_bytes()


@pytest.mark.processes
def test_ctrl_c_while_the_processes_begin_is_one_sentence(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command_line("campaign", written(tmp_path, FAULTS, LONG), "--jobs", 2),
        env=environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + WAIT_S
    while sum(map(minds_ctrl_c, children(process.pid))) < 2:
        assert time.monotonic() < until
        time.sleep(0.001)
    # As a terminal does it: to all of them.
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, err) == (130, "he-fsm: stopped: with --results it could go on\n")


@pytest.mark.processes
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_campaign_that_was_stopped_goes_on_and_each_run_counts_once(
    run: Callable[..., Ran], tmp_path: Path, how: signal.Signals
) -> None:
    file, results = written(tmp_path, FAULTS, LONG), tmp_path / "r"
    process = stopped(file, results, "--jobs", 2, how=how)
    out, err = process.communicate(timeout=WAIT_S)
    kept = lines_of(results)
    assert 2 <= kept < 40
    if how != signal.SIGKILL:
        assert process.returncode == 130
        assert out.startswith("Campaign c\n")
        assert err == "he-fsm: stopped: the same command goes on\n"
    whole = json_of(run, file, "--results", results, "--jobs", 2)
    assert lines_of(results) == 40
    keys = [
        (each["variation"], each["seed"])
        for each in map(json.loads, results.read_text().splitlines())
    ]
    assert len(set(keys)) == 40
    assert [len(each["runs"]) for each in whole["variations"]] == [20, 20]
    if how == signal.SIGINT:
        # As if nobody had stopped it.
        assert whole == json_of(run, file, "--jobs", 2)


def test_a_seed_that_parquet_can_not_hold_is_refused_before_anything_is_played(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    seed = ("--set", f"seed={2**63 - 2}", "--runs", 3)
    path = tmp_path / "r.parquet"
    said = refused("campaign", ROOT / "examples" / "campaign.yaml", *seed, "--parquet", path)
    assert said.startswith("--parquet holds integers up to ")
    assert not path.exists()


def test_equal_designs_are_tied_and_long_times_are_in_years(
    run: Callable[..., Ran], tmp_path: Path
) -> None:
    more = "horizon: 100y\nruns: 2\nvary: {world.vm_boot: [55s, 90s]}"
    file = written(tmp_path, "{cause: host, mtbf: 9000y, repair: 20m}", more)
    page = tmp_path / "page.html"
    ran = run("campaign", file, "--jobs", 1, "--html", page)
    assert "4 runs of 100 y" in ran.out
    rows = [line for line in ran.out.splitlines() if line.startswith("  world.vm_boot")]
    assert all(row.endswith("tied: no difference seen") for row in rows)
    assert " best" not in "".join(rows)
    assert "no run had an outage with world.vm_boot=55s: rarer than 3 in 200 y at 95 %" in ran.out
    assert "no difference between them was seen" in page.read_text()
    found = json.loads(run("campaign", file, "--jobs", 1, "--json").out)
    assert [each["event"] for each in found["unseen"]] == [
        "an outage with world.vm_boot=55s",
        "an outage with world.vm_boot=90s",
    ]
