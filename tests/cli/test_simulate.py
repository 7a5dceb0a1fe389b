from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import jsonschema
import pytest
import yaml

from tests.cli.conftest import ROOT, Ran, command_line, environment
from tests.cli.terminal import ANSI, Terminal

MOVES = """\
scenarios:
  - name: moves
    about: The gateway of host 1 fails; the engine moves.
    hosts: 2
    engine: {running_on: 1}
    timeline:
      - {at: 60s, host: 1, set: {gateway: 0}}
    until: 5m
    expect:
      - {by: 3m, engine_on: 2, engine: good}
      - {total: {migrations: 1, starts: 0}}
  - name: stays
    hosts: 1
    engine: {running_on: 1}
    until: 1m
    expect:
      - {from: 0s, engine: good}
"""
FAILS = """\
scenarios:
  - name: fails
    hosts: 2
    engine: {running_on: 1}
    timeline:
      - {at: 60s, engine: kill}
    until: 3m
    expect:
      - {at: 61s, engine: good}
      - {total: {starts: 0}}
      - {any: [{at: 10s, engine: bad}, {at: 20s, engine: bad}]}
"""
# Holds in most phases: what is asked is whether a look comes in time.
SOMETIMES = """\
scenarios:
  - name: sometimes
    hosts: 2
    engine: {running_on: 1}
    timeline:
      - {at: 65s, host: 1, set: {gateway: 0}}
    until: 3m
    expect:
      - {by: 104s, engine: migrating}
"""
TALK = ROOT / "examples" / "talk.yaml"


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Write a scenario file."""

    def written(text: str, name: str = "cluster.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


def json_of(run: Callable[..., Ran], *arguments: object, status: int = 0) -> dict[str, Any]:
    ran = run("simulate", "--json", *arguments)
    assert (ran.status, ran.err) == (status, "")
    found: dict[str, Any] = json.loads(ran.out)
    return found


# What is printed.


def test_the_story_is_told(run: Callable[..., Ran], file: Callable[..., Path]) -> None:
    ran = run("simulate", file(MOVES))
    assert (ran.status, ran.err) == (0, "")
    one, two = ran.out.split("Scenario stays")
    for text in (
        "Scenario moves\nThe gateway of host 1 fails; the engine moves.\n",
        "At the start: engine on host 1, good\n",
        "--== Host 1 status ==--\n\nHostname                           : host1\n",
        "\n 0:01:00.0  host 1    fault                               monitors read gateway 0\n",
        "host 1    EngineUp -> EngineMigratingAway     host 2 has scored 2400, 1000 more than",
        "At the end: engine on host 2, good\n",
        "Score                              : 1400\n",
        "    score-why=-1000 gateway (down)\n",
        "Totals: starts 0, refused_starts 0, failed_starts 0, migrations 1,",
        "downtime 0 s, longest_outage 0 s\n",
        "PASSED moves\n",
    ):
        assert text in one
    assert two.endswith(
        "Summary\n"
        "  passed  moves  downtime 0 s, 0 starts, 1 migrations\n"
        "  passed  stays  downtime 0 s, 0 starts, 0 migrations\n"
        "2 of 2 scenarios passed\n"
    )


def test_failures_say_place_expectation_what_was_seen_and_when(
    run: Callable[..., Ran], file: Callable[..., Path]
) -> None:
    path = file(FAILS)
    ran = run("simulate", path)
    assert ran.status == 1
    assert ran.out.endswith(
        "FAILED fails\n"
        f"  {path}:9: expected {{at: 61s, engine: good}}; seen at 0:01:01.0: engine was starting\n"
        f"  {path}:10: expected {{total: {{starts: 0}}}}; "
        "seen at 0:03:00.0: starts was 1 from 0 s to 180 s\n"
        f"  {path}:11: expected {{any: [{{at: 10s, engine: bad}}, {{at: 20s, engine: bad}}]}}; "
        "seen: engine was good at 10 s; engine was good at 20 s\n"
        "\n"
    )


def test_no_engine_and_hosts_that_never_wrote(
    run: Callable[..., Ran], file: Callable[..., Path]
) -> None:
    hosts = "hosts: [{id: 1}, {id: 2, powered: no}]"
    text = f"scenarios: [{{name: x, world: {{cold: true}}, {hosts}, until: 10s}}]"
    ran = run("simulate", file(text))
    assert "At the start: no engine runs\n" in ran.out
    assert "At the end: no engine runs\n" in ran.out
    assert "--== Host 2 status ==--\n\nHostname : host2, nothing written\n" in ran.out


def test_a_host_that_no_longer_writes_is_marked(
    run: Callable[..., Ran], file: Callable[..., Path]
) -> None:
    timeline = "timeline: [{at: 5s, host: 2, agent: kill}]"
    text = f"scenarios: [{{name: x, hosts: 2, engine: {{running_on: 1}}, {timeline}, until: 20s}}]"
    ran = run("simulate", file(text))
    assert ran.out.count("Status up-to-date                  : False\n") == 1


def test_of_many_hosts_those_that_did_something_are_shown_and_events_are_joined(
    run: Callable[..., Ran], file: Callable[..., Path]
) -> None:
    timeline = "timeline: [{at: 60s, host: 7, power: off}]"
    text = f"scenarios: [{{name: x, hosts: 30, engine: {{running_on: 3}}, {timeline}, until: 5m}}]"
    ran = run("simulate", file(text))
    shown = re.findall(r"--== Host (\d+) status", ran.out)
    assert shown == ["3", "7", "3", "7"]
    assert ran.out.count("(28 more hosts)\n") == 2
    assert re.search(r"29 hosts +liveness +host 7 is taken for dead\n", ran.out)


def test_a_run_of_days_and_one_without_hosts_in_its_events(
    run: Callable[..., Ran], file: Callable[..., Path]
) -> None:
    timeline = "timeline: [{at: 25h, maintenance: global}]"
    text = f"scenarios: [{{name: x, hosts: 1, engine: {{running_on: 1}}, {timeline}, until: 26h}}]"
    ran = run("simulate", file(text))
    assert "1d 1:00:00.0  cluster   fault " in ran.out


def test_what_a_file_says_drives_no_terminal(
    run: Callable[..., Ran], file: Callable[..., Path]
) -> None:
    text = (
        'scenarios: [{name: "a\\e[2Jb", about: "\\e]0;x", until: 5s, '
        'hosts: [{id: 1, name: "\\e[31m"}], engine: {running_on: "\\e[31m"}, '
        'timeline: [{at: 1s, host: "\\e[31m", set: {gateway: 0}}]}]'
    )
    ran = run("simulate", file(text))
    assert ran.status == 0
    assert "\x1b" not in ran.out
    assert "Scenario a\\x1b[2Jb\n" in ran.out


# Options.


def test_only_some_scenarios(run: Callable[..., Ran], file: Callable[..., Path]) -> None:
    path = file(MOVES)
    for only in (["moves"], ["stays"], ["stays", "moves"]):
        options = [each for name in only for each in ("--only", name)]
        found = json_of(run, path, *options)
        # In the file's order.
        assert [each["name"] for each in found["scenarios"]] == sorted(only)


def test_a_scenario_that_there_is_not(
    refused: Callable[..., str], file: Callable[..., Path]
) -> None:
    said = refused("simulate", file(MOVES), "--only", "moves", "--only", "mvoes")
    assert said == "--only mvoes: no such scenario; there are moves, stays"


def test_a_seed_is_another_phase(run: Callable[..., Ran], file: Callable[..., Path]) -> None:
    path = file(MOVES)
    runs = [json_of(run, path, "--seed", seed)["scenarios"][0] for seed in (0, 1, 2)]
    assert [each["seed"] for each in runs] == [0, 1, 2]
    assert len({json.dumps(each["events"]) for each in runs}) == 3
    # The file's own, which is 1 where it says none.
    assert json_of(run, path)["scenarios"][0] == runs[1]


def test_all_seeds_must_hold_and_the_first_that_does_not_is_named(
    run: Callable[..., Ran], file: Callable[..., Path]
) -> None:
    path = file(SOMETIMES)
    alone = {seed: run("simulate", path, "--seed", seed).status for seed in range(1, 13)}
    assert set(alone.values()) == {0, 1}
    first = min(seed for seed, status in alone.items() if status)
    assert first > 1
    ran = run("simulate", path, "--seeds", 12)
    assert ran.status == 1
    assert f"FAILED sometimes with seed {first}\n" in ran.out
    assert json_of(run, path, "--seeds", 12, status=1)["scenarios"][0]["seed"] == first
    # Those before it hold.
    ran = run("simulate", path, "--seeds", first - 1)
    assert ran.status == 0
    assert f"PASSED sometimes with seeds 1 to {first - 1}\n" in ran.out
    assert json_of(run, path, "--seeds", first - 1)["seeds"] == first - 1


def test_values_can_be_set(run: Callable[..., Ran], file: Callable[..., Path]) -> None:
    path = file(MOVES)
    found = json_of(run, path, "--set", "policy.migration_threshold=1100", status=1)
    assert [each["verdict"] for each in found["scenarios"]] == ["failed", "passed"]
    found = json_of(
        run, path, "--set", "world.loop=5s", "--set", "world.jitter=0s", "--only", "moves"
    )
    looks = [each["t"] for each in found["scenarios"][0]["events"] if each["kind"] == "state"]
    # 30 s after the first look that saw it, which comes within 5 s.
    assert 90.0 <= looks[0] <= 95.0


def test_several_files(run: Callable[..., Ran], file: Callable[..., Path]) -> None:
    found = json_of(run, file(MOVES), file(FAILS, "fails.yaml"), status=1)
    assert [each["name"] for each in found["scenarios"]] == ["moves", "stays", "fails"]
    assert found["passed"] is False
    ran = run("simulate", file(MOVES), file(FAILS, "fails.yaml"))
    assert ran.out.endswith("2 of 3 scenarios passed\n")
    assert "  FAILED  fails  downtime 60 s, 1 starts, 0 migrations\n" in ran.out


def test_the_json_object(run: Callable[..., Ran], file: Callable[..., Path]) -> None:
    path = file(FAILS)
    found = json_of(run, path, status=1)
    assert set(found) == {"passed", "scenarios"}
    scenario = found["scenarios"][0]
    assert set(scenario) == {
        *("name", "verdict", "seed", "failures", "totals", "events", "final"),
    }
    assert [scenario["name"], scenario["verdict"]] == ["fails", "failed"]
    assert scenario["failures"] == [
        {
            "place": f"{path}:9",
            "line": 9,
            "expected": "{at: 61s, engine: good}",
            "seen": "engine was starting",
            "at": 61.0,
        },
        {
            "place": f"{path}:10",
            "line": 10,
            "expected": "{total: {starts: 0}}",
            "seen": "starts was 1 from 0 s to 180 s",
            "at": 180.0,
        },
        {
            "place": f"{path}:11",
            "line": 11,
            "expected": "{any: [{at: 10s, engine: bad}, {at: 20s, engine: bad}]}",
            "seen": "engine was good at 10 s; engine was good at 20 s",
            "at": None,
        },
    ]
    assert scenario["totals"]["starts"] == 1
    assert scenario["totals"]["downtime"] == 60.0
    for event in scenario["events"]:
        assert {"t", "host", "kind", "text"} <= set(event)
    assert scenario["events"][0] == {
        "t": 60.0,
        "host": 1,
        "kind": "fault",
        "text": "engine: kill",
    }
    assert scenario["final"] == {
        "engine_on": 1,
        "engine": "good",
        "hosts": {
            "1": {"state": "EngineUp", "score": 2400},
            "2": {"state": "EngineDown", "score": 2400},
        },
    }


def test_a_trace_has_every_look_of_every_agent(
    run: Callable[..., Ran], file: Callable[..., Path], tmp_path: Path
) -> None:
    trace = tmp_path / "looks.jsonl"
    with_trace = run("simulate", file(MOVES), "--trace", trace)
    looks = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    assert {look["scenario"] for look in looks} == {"moves", "stays"}
    assert {look["seed"] for look in looks} == {1}
    moves = [look for look in looks if look["scenario"] == "moves"]
    assert {look["host"] for look in moves} == {"1", "2"}
    assert [look["t"] for look in moves] == sorted(look["t"] for look in moves)
    acted = next(look for look in moves if look["effects"])
    assert acted["state"] == "EngineMigratingAway"
    assert acted["effects"][0].startswith("MigrateVm(")
    assert len(looks) > 2 * 25 + 5
    # It changes nothing.
    assert with_trace.out == run("simulate", file(MOVES)).out
    run("simulate", file(MOVES), "--trace", trace, "--seeds", 2, "--only", "stays")
    looks = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    assert {look["seed"] for look in looks} == {1, 2}


def test_a_page_is_written(
    run: Callable[..., Ran], file: Callable[..., Path], tmp_path: Path
) -> None:
    pytest.importorskip("plotly")
    page = tmp_path / "page.html"
    ran = run("simulate", file(FAILS), "--html", page)
    # A run that fails is the one to look at.
    assert ran.status == 1
    assert "engine was starting" in page.read_text(encoding="utf-8")
    assert ran.out == run("simulate", file(FAILS)).out


def test_without_plotly_a_page_is_refused_with_what_to_install(
    refused: Callable[..., str],
    file: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    said = refused("simulate", file(MOVES), "--html", tmp_path / "page.html")
    assert said == "the HTML page needs the package plotly: pip install 'he-fsm[report]'"


def test_the_schema_is_printed_and_holds_for_the_examples(run: Callable[..., Ran]) -> None:
    ran = run("simulate", "--schema")
    assert ran.status == 0
    schema = json.loads(ran.out)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(TALK.read_text(encoding="utf-8")), schema)


# What can't be used.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MOVES.replace("power", "x").replace("gateway: 0", "gatway: 0"), ":7:34: scenarios[0]."),
        (MOVES.replace("until: 5m", "until: soon"), ":8:12: scenarios[0].until: expected a time"),
        (MOVES.replace("hosts: 1", "hosts: [{}]"), ":13:13: scenarios[1].hosts[0]"),
        (MOVES.replace("engine_on: 2", "engine_on: 3"), ":10:29: scenarios[0].expect[0].engine_on"),
        ("scenarios: [", ":1:"),
        ("", ""),
    ],
)
def test_a_bad_file_is_named_with_line_column_key_and_what_was_expected(
    refused: Callable[..., str],
    file: Callable[..., Path],
    tmp_path: Path,
    text: str,
    message: str,
) -> None:
    path = file(text)
    trace = tmp_path / "looks.jsonl"
    said = refused("simulate", file(MOVES, "good.yaml"), path, "--trace", trace)
    assert said.startswith(f"{path}{message}")
    # Nothing ran, although the other file is good.
    assert not trace.exists()


def test_a_file_that_can_not_be_read(refused: Callable[..., str], tmp_path: Path) -> None:
    assert refused("simulate", tmp_path) == f"{tmp_path}: can't be read: Is a directory"
    path = tmp_path / "absent.yaml"
    assert refused("simulate", path) == f"{path}: can't be read: No such file or directory"
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert refused("simulate", binary).startswith(f"{binary}:")


@pytest.mark.parametrize("option", ["--trace", "--html"])
def test_a_file_that_can_not_be_written(
    refused: Callable[..., str], file: Callable[..., Path], tmp_path: Path, option: str
) -> None:
    if option == "--html":
        pytest.importorskip("plotly")
    path = tmp_path / "nowhere" / "file"
    said = refused("simulate", file(MOVES), option, path)
    assert said == f"can't write {path}: No such file or directory"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "give at least one scenario file"),
        (["x.yaml", "--seed", "1", "--seeds", "2"], "--seed and --seeds exclude each other"),
        (["x.yaml", "--seeds", "0"], "'--seeds'"),
        (["x.yaml", "--seed", "-1"], "'--seed'"),
        (["x.yaml", "--trace", "."], "'--trace'"),
    ],
)
def test_options_that_make_no_sense(run: Callable[..., Ran], options: list[str], says: str) -> None:
    ran = run("simulate", *options)
    assert (ran.status, ran.out) == (2, "")
    assert says in ran.err
    assert ran.err.startswith("he-fsm: ")
    assert ran.err.endswith("\nTry 'he-fsm simulate --help'.\n")


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("loop", "--set loop: expected KEY=VALUE"),
        ("world.loop=soon", "--set world.loop=soon: scenarios[0].world.loop: expected a time"),
        ("world.lop=1s", "--set world.lop=1s: "),
        ("policy.kill_grace_s=70s", "--set policy.kill_grace_s=70s: scenarios[0].policy: policy"),
    ],
)
def test_a_value_that_can_not_be_set(
    refused: Callable[..., str], file: Callable[..., Path], setting: str, says: str
) -> None:
    assert refused("simulate", file(MOVES), "--set", setting).startswith(says)


# Terminals and pipes.


@pytest.mark.parametrize("width", [60, 80, 132])
def test_a_terminal_gets_colours_and_lines_that_fit(file: Callable[..., Path], width: int) -> None:
    terminal = Terminal(width, "simulate", file(MOVES), file(FAILS, "fails.yaml"))
    assert terminal.status == 1
    for colour in ("\x1b[1m", "\x1b[32m", "\x1b[31m", "\x1b[35m"):
        assert colour in terminal.text
    lines = ANSI.sub("", terminal.text).split("\n")
    timeline = lines[lines.index("Timeline") : lines.index("At the end: engine on host 2, good")]
    assert max(len(line) for line in timeline) <= width
    assert any("host 2 has scored 2400" in line for line in timeline)


def test_a_pipe_gets_no_escape_codes_and_a_line_for_each_event(
    process: Callable[..., subprocess.CompletedProcess[bytes]], file: Callable[..., Path]
) -> None:
    ran = process("simulate", file(MOVES), TERM="xterm-256color", COLUMNS="40")
    assert ran.returncode == 0
    assert b"\x1b" not in ran.stdout
    events = json.loads(process("simulate", file(MOVES), "--json", "--only", "moves").stdout)
    shown = [each for each in events["scenarios"][0]["events"] if each["kind"] != "notification"]
    timeline = ran.stdout.decode().split("Timeline\n")[1].split("\n\n")[0]
    assert len(timeline.split("\n")) == len(shown)


def test_a_person_who_waits_sees_how_far_it_is(file: Callable[..., Path]) -> None:
    terminal = Terminal(80, "simulate", file(MOVES), "--seeds", 20)
    assert "simulating" in ANSI.sub("", terminal.text)
    assert terminal.status == 0
    quick = Terminal(80, "simulate", file(MOVES))
    assert "simulating" not in quick.text


def test_ctrl_c_is_no_failure_of_what_was_asked(
    run: Callable[..., Ran], file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("he_fsm.cli.simulate.run", stop)
    assert run("simulate", file(MOVES)) == Ran(130, "", "he-fsm: stopped\n")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_same_file_and_seed_give_the_same_bytes_everywhere(
    process: Callable[..., subprocess.CompletedProcess[bytes]], options: list[str], tmp_path: Path
) -> None:
    traces = [tmp_path / name for name in ("one", "two")]
    runs = [
        process("simulate", TALK, *options, "--trace", trace, PYTHONHASHSEED=seed, TZ=zone)
        for trace, seed, zone in zip(traces, ("1", "77"), ("UTC", "Asia/Kathmandu"))
    ]
    assert [ran.returncode for ran in runs] == [0, 0]
    assert runs[0].stdout == runs[1].stdout
    assert traces[0].read_bytes() == traces[1].read_bytes()


def test_the_page_is_the_same_everywhere(
    process: Callable[..., subprocess.CompletedProcess[bytes]],
    file: Callable[..., Path],
    tmp_path: Path,
) -> None:
    pytest.importorskip("plotly")
    pages = [tmp_path / name for name in ("one.html", "two.html")]
    for page, seed, zone in zip(pages, ("1", "77"), ("UTC", "Asia/Kathmandu")):
        process("simulate", file(MOVES), "--html", page, PYTHONHASHSEED=seed, TZ=zone)
    assert pages[0].read_bytes() == pages[1].read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [["simulate", str(TALK)], ["simulate", str(TALK), "--json"], ["diagram"], ["explain"]],
)
def test_a_reader_that_has_seen_enough_is_no_traceback(arguments: list[str]) -> None:
    with subprocess.Popen(
        command_line(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment({}),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_is_one_sentence_and_status_2() -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            command_line("explain"),
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment({}),
            check=False,
            timeout=60,
        )
    assert ran.returncode == 2
    assert ran.stderr == b"he-fsm: can't write the output: No space left on device\n"
