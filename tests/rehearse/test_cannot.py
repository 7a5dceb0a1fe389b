"""What a back end can't do is said before anything is started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from he_fsm.cli.main import main
from he_fsm.errors import HeFsmError
from he_fsm.lab import netns
from he_fsm.lab.sanlock import needs
from he_fsm.rehearse import cannot as cannot_module
from he_fsm.rehearse.backends import SANLOCK
from he_fsm.rehearse.cannot import cannot, libvirt_cannot, sanlock_cannot
from he_fsm.rehearse.run import rehearse
from he_fsm.scenario.model import Scenario
from tests.rehearse.scenes import file_of, scenario_of

CLOCK = "one clock for all hosts"
CASES = {
    "{at: 1s, host: 1, clock: +1h}": CLOCK,
    "{at: 1s, host: 1, clock: rate 1.01}": CLOCK,
    "{at: 1s, host: 1, storage: slow 15s}": "not be slow",
    "{at: 1s, host: 1, storage: no-writes}": "not for reads or writes alone",
    "{at: 1s, host: 1, storage: no-reads}": "not for reads or writes alone",
    "{at: 1s, host: 1, failed_starts: 2}": "can't be set from outside",
    "{at: 1s, host: 1, power: suspend}": "can't be suspended",
    "{at: 1s, host: 1, power: resume}": "can't be suspended",
    "{at: 1s, host: 1, slot: torn, for: 20s}": "torn",
}
EMBEDDED = {"{at: 1s, host: 1, sanlock: kill}": "--backend sanlock has", **CASES}
CAN = (
    "{at: 1s, host: 1, broker: kill}",
    "{at: 1s, host: 1, broker: crash}",
    "{at: 1s, host: 1, agent: crash}",
    "{at: 1s, host: 1, storage: cut}",
    "{at: 1s, host: 1, storage: hang}",
    "{at: 1s, host: 1, power: freeze}",
    "{at: 1s, hosts: all, agent: kill}",
    "{at: 1s, engine: migrate 2}",
    "{at: 1s, host: 0, slot: zero, for: 20s}",
    "{at: 1s, maintenance: global}",
    "{at: 1s, host: 1, version: 2}",
)


def body(*entries: str) -> str:
    lines = "".join(f"  - {entry}\n" for entry in entries)
    return f"hosts: 2\nuntil: 1m\ntimeline:\n{lines}"


@pytest.mark.parametrize(("entry", "why"), EMBEDDED.items())
def test_a_verb_that_needs_more_than_one_machine_is_refused_with_its_place(entry: str, why: str):
    (reason,) = cannot(scenario_of(body(CAN[0], entry)))
    assert reason.startswith("inline.yaml:7:")
    assert why in reason


@pytest.mark.parametrize("entry", CAN)
def test_a_verb_that_can_be_done_is_not_refused(entry: str):
    assert cannot(scenario_of(body(entry))) == []


@pytest.mark.parametrize("clock", ["+5h", '"1970-01-01"'])
def test_a_host_with_another_wall_clock_is_refused(clock: str):
    (reason,) = cannot(scenario_of(f"hosts: [{{id: 1}}, {{id: 2, clock: {clock}}}]\nuntil: 1m\n"))
    assert reason.startswith("host 2: clock: ")


def test_a_source_that_falls_silent_is_refused():
    world = "world: {arrival_timeout: 1m}\nhosts: 2\nuntil: 1m\n"
    (reason,) = cannot(scenario_of(world))
    assert reason.startswith("world: arrival_timeout: ")


def test_a_paused_vm_without_its_lease_is_refused():
    world = "world: {pause_keeps_lease: false}\nhosts: 2\nuntil: 1m\n"
    (reason,) = cannot(scenario_of(world))
    assert reason.startswith("world: pause_keeps_lease: ")


def test_two_hosts_with_one_id_are_refused():
    hosts = "[{id: 1}, {id: 1, name: twin}]"
    (reason,) = cannot(scenario_of(f"hosts: {hosts}\nuntil: 1m\n"))
    assert "one id" in reason


def test_a_lease_that_is_running_out_at_the_beginning_is_refused():
    (reason,) = cannot(
        scenario_of(
            "hosts: 2\nengine: {running_on: 1, lease_left: 1m}\n"
            "timeline: [{at: 0, host: 1, power: off}]\n"
        )
    )
    assert reason.startswith("engine: lease_left: ")


def test_every_reason_is_said():
    assert len(cannot(scenario_of(body(*CASES)))) == len(CASES)


def test_the_library_refuses_too_and_makes_no_folder(tmp_path: Path):
    with pytest.raises(HeFsmError, match="one clock for all hosts"):
        rehearse(scenario_of(body(next(iter(CASES)))), keep=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_the_command_refuses_before_the_first_scenario_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    path, kept = tmp_path / "scenes.yaml", tmp_path / "kept"
    second = file_of(body(next(iter(CASES))), "second")[len("scenarios:\n") :]
    path.write_text(file_of(body(CAN[0]), "first") + second, encoding="utf-8")
    arguments = ["he-fsm", "rehearse", str(path), "--speed", "10", "--keep", str(kept)]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr()
    assert (stop.value.code, said.out) == (2, "")
    assert f"second: {path}:11:" in said.err
    assert said.err.count("\n") == 1
    assert not kept.exists()


WITH_SANLOCK = {
    "{at: 1s, host: 1, migrations: hang}": "migration",
    "{at: 1s, host: 1, hypervisor: lost}": "QEMU",
    **CASES,
}


@pytest.mark.parametrize(("entry", "why"), WITH_SANLOCK.items())
def test_a_verb_that_real_vms_do_not_know_is_refused_with_its_place(entry: str, why: str):
    (reason,) = sanlock_cannot(scenario_of(body(CAN[0], entry)), 10.0)
    assert reason.startswith("inline.yaml:7:")
    assert why in reason


@pytest.mark.parametrize(
    "verb",
    [
        *(f"sanlock: {word}" for word in ("kill", "start", "freeze", "thaw")),
        *("starts: fail 2", "boots: never", "boots: die 5s", "migrations: fail"),
    ],
)
def test_what_real_daemons_and_vms_can_do_is_not_refused(verb: str):
    entry = f"{{at: 1s, host: 1, {verb}}}"
    assert sanlock_cannot(scenario_of(body(entry)), 10.0) == []


WITH_LIBVIRT = {"{at: 1s, host: 1, migrations: hang}": "migration", **CASES}
PAUSE = "{at: 1s, engine: pause}"
FREES_LEASE = "world: {pause_keeps_lease: false}\n"


@pytest.mark.parametrize(("entry", "why"), WITH_LIBVIRT.items())
def test_a_verb_that_domains_do_not_know_is_refused_with_its_place(entry: str, why: str):
    (reason,) = libvirt_cannot(scenario_of(body(CAN[0], entry)), 10.0)
    assert reason.startswith("inline.yaml:7:")
    assert why in reason


@pytest.mark.parametrize(
    "verb", ["hypervisor: lost", "hypervisor: back", "sanlock: kill", "starts: fail 2"]
)
def test_what_libvirts_hosts_can_do_is_not_refused(verb: str):
    assert libvirt_cannot(scenario_of(body(f"{{at: 1s, host: 1, {verb}}}")), 10.0) == []


def test_a_pause_that_would_keep_the_lease_is_refused_where_libvirt_releases_it():
    (reason,) = libvirt_cannot(scenario_of(body(CAN[0], PAUSE)), 10.0)
    assert reason.startswith("inline.yaml:7:")
    assert "pause_keeps_lease: false" in reason
    assert libvirt_cannot(scenario_of(FREES_LEASE + body(CAN[0], PAUSE)), 10.0) == []
    assert libvirt_cannot(scenario_of(FREES_LEASE + body(CAN[0])), 10.0) == []


def test_an_engine_that_is_paused_at_the_beginning_is_refused_as_well():
    paused = "hosts: 2\nengine: {running_on: 1, paused: true}\nuntil: 1m\n"
    (reason,) = libvirt_cannot(scenario_of(paused), 10.0)
    assert reason.startswith("engine: paused: ")
    assert libvirt_cannot(scenario_of(FREES_LEASE + paused), 10.0) == []


@pytest.mark.parametrize("refused", [sanlock_cannot, libvirt_cannot])
def test_a_source_falls_silent_only_where_hosts_have_networks_of_their_own(
    monkeypatch: pytest.MonkeyPatch, refused: Callable[[Scenario, float], list[str]]
):
    scenario = scenario_of("world: {arrival_timeout: 1m}\nhosts: 2\nuntil: 1m\n")
    monkeypatch.setattr(netns, "why_not", lambda: "")
    assert refused(scenario, 10.0) == []
    monkeypatch.setattr(netns, "why_not", lambda: "the command ip is missing")
    (reason,) = refused(scenario, 10.0)
    assert reason.startswith("world: arrival_timeout: ")
    assert "the command ip is missing" in reason


@pytest.mark.parametrize(
    ("world", "speed", "why"),
    [
        ("world: {io_timeout: 2.5s}", 10.0, "whole number of seconds"),
        ("world: {io_timeout: 1s}", 10.0, "at speed 10 the disk needs 2 s"),
        ("world: {io_timeout: 2s}", 11.0, "at speed 11"),
        ("policy: {base: talk, watchdog_s: 70.5}", 1.0, "whole number of seconds"),
        ("world: {io_timeout: 2s}", 0.5, "not slower"),
    ],
)
def test_times_that_sanlock_can_not_have_are_refused(world: str, speed: float, why: str):
    (reason,) = sanlock_cannot(scenario_of(f"{world}\nhosts: 1\nuntil: 1m\n"), speed)
    assert why in reason


def test_only_a_newer_sanlock_has_another_watchdog(monkeypatch: pytest.MonkeyPatch):
    scenario = scenario_of("policy: {profile: fast}\nhosts: 1\nuntil: 1m\n")
    monkeypatch.setattr(cannot_module, "can_set_watchdog", lambda: False)
    (reason,) = sanlock_cannot(scenario, 1.0)
    assert "only from its release 3.9 on" in reason
    monkeypatch.setattr(cannot_module, "can_set_watchdog", lambda: True)
    monkeypatch.setattr(cannot_module.watchdog, "why_not", lambda **_: "")
    assert sanlock_cannot(scenario, 1.0) == []


def test_all_hosts_of_a_rehearsal_have_one_watchdogs_time():
    hosts = "hosts: [{id: 1}, {id: 2, watchdog_time: 10s}]\nuntil: 1m\n"
    (reason,) = sanlock_cannot(scenario_of(hosts), 1.0)
    assert "watchdog_time" in reason


@pytest.mark.parametrize(("speed", "io_timeout"), [(1.0, 1), (10.0, 2), (10.0, 10)])
def test_times_that_sanlock_can_have_are_not_refused(speed: float, io_timeout: int):
    times = f"world: {{io_timeout: {io_timeout}s}}"
    assert sanlock_cannot(scenario_of(f"{times}\nhosts: 1\nuntil: 1m\n"), speed) == []


def test_what_the_machine_lacks_is_said_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    said = "\n".join(needs.missing(10.0))
    for package in ("bindfs", "qemu-system-x86", "busybox-static"):
        assert f"install the package {package}" in said
    with pytest.raises(HeFsmError, match="install the package bindfs"):
        rehearse(scenario_of(body(CAN[0])), backend=SANLOCK, speed=10.0, keep=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


@pytest.fixture
def no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 65534)


@pytest.mark.usefixtures("no_root")
@pytest.mark.parametrize("word", ["cut", "hang"])
def test_without_root_one_hosts_storage_can_not_be_broken_alone(word: str):
    entries = (CAN[0], f"{{at: 1s, host: 1, storage: {word}}}")
    (reason,) = sanlock_cannot(scenario_of(body(*entries)), 10.0)
    assert reason.startswith("inline.yaml:7:")
    assert "only root can break one host's storage alone" in reason


@pytest.mark.parametrize("word", ["cut", "hang"])
def test_root_can_break_one_hosts_storage_alone(word: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    entry = f"{{at: 1s, host: 1, storage: {word}}}"
    assert sanlock_cannot(scenario_of(body(entry)), 10.0) == []
