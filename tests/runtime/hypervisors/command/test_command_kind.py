"""The section of kind `command`: what is refused, what is warned of, what it makes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import attrs
import pytest

from he_fsm.errors import ConfigError, MonitorError
from he_fsm.runtime import parts
from he_fsm.runtime.config import annotated_yaml, parse_config
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.hypervisors.service.health import HealthCommand
from he_fsm.runtime.hypervisors.service.hypervisor import ServiceHypervisor
from he_fsm.runtime.monitors.engine_health import EngineHealth
from he_fsm.runtime.monitors.make import make_runner
from he_fsm.runtime.monitors.runner import ENGINE_HEALTH, MonitorRunner
from he_fsm.runtime.ports import Monitor
from he_fsm.snapshot import Health

GOOD = "kind: command, run: [sleep, 1h], health: 'http://127.0.0.1:8080/'"


def config_of(hypervisor: str, more: str = "", folder: Path = Path("/srv")) -> Config:
    text = f"""
host: {{id: 1}}
storage: {{path: /srv/he-fsm}}
run_dir: {folder}
leases: embedded
monitors: {{network: {{test: none}}}}
ovirt: none
hypervisor: {{{hypervisor}}}
{more}
"""
    return parse_config(text, "f.yaml", folder)


def test_a_program_can_not_move_and_the_policy_knows() -> None:
    assert not config_of(GOOD).policy.live_migration
    written = config_of(GOOD, "policy: {base: talk, live_migration: yes, move_by_restart: yes}")
    assert not written.policy.live_migration
    assert written.policy.move_by_restart


def test_what_is_shown_is_a_configuration() -> None:
    config = config_of(
        "kind: command, run: [podman, run, web], health: [curl, -f, localhost], "
        "stop: [podman, stop, web], directory: /srv, name: web, health_timeout: 3s"
    )
    shown = parse_config(annotated_yaml(config), "shown.yaml", Path("/srv"))
    assert shown == config
    assert config.hypervisor.called == "web"
    assert config_of(GOOD).hypervisor.called == "sleep"


@pytest.mark.parametrize(
    ("hypervisor", "message"),
    [
        ("kind: command, health: 'http://a/'", 'the hypervisor "command" needs the key "run"'),
        ("kind: command, run: [a]", 'the hypervisor "command" needs the key "health"'),
        ("kind: command, run: sleep 1h", "expected a command, a list of words"),
        ("kind: command, run: []", "got no program"),
        ("kind: command, run: ['']", "got no program"),
        ("kind: command, run: [a, [b]]", "run[1]"),
        ("kind: command, run: [a], health: ftp://b", "begins with http:// or https://"),
        ("kind: command, run: [a], health: []", "got no program"),
        (f"{GOOD}, stop: SIGNAL", "expected a signal's name like SIGTERM, or a command"),
        (f"{GOOD}, stop: ", "expected a signal's name like SIGTERM, or a command"),
        (f"{GOOD}, runs: [a]", "runs"),
    ],
)
def test_a_bad_section_is_refused_with_its_place(hypervisor: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        config_of(hypervisor)
    assert str(raised.value).startswith("f.yaml:8:")
    assert message in str(raised.value)


def test_leases_of_one_machine_have_to_be_asked_for() -> None:
    text = (
        "host: {id: 1}\nstorage: {path: /srv}\novirt: none\nhypervisor: {" + GOOD + "}\n"
        "monitors: {network: {test: none}}\n"
    )
    with pytest.raises(ConfigError, match=r"f\.yaml:4:.*kind command runs a real service"):
        parse_config(text, "f.yaml", Path("/srv"))


def findings_of(config: Config) -> dict[str, bool]:
    return {str(each): each.is_fatal for each in parts.findings(config)}


def test_a_policy_that_moves_nothing_is_said() -> None:
    said = findings_of(config_of(GOOD))
    assert any("move_by_restart: yes" in text and not fatal for text, fatal in said.items())
    moves = config_of(GOOD, "policy: {base: talk, move_by_restart: yes}")
    assert not any("move_by_restart" in text for text in findings_of(moves))


@pytest.mark.parametrize(
    ("hypervisor", "what", "is_fatal"),
    [
        (
            "kind: command, run: [/nowhere/a], health: 'http://a/'",
            "hypervisor.run: there is no program /nowhere/a",
            True,
        ),
        (
            "kind: command, run: [sleep, 1h], health: [/nowhere/b]",
            "hypervisor.health: there is no program /nowhere/b",
            False,
        ),
        (f"{GOOD}, stop: [/nowhere/c]", "hypervisor.stop: there is no program /nowhere/c", False),
        (f"{GOOD}, directory: /nowhere", "hypervisor.directory: there is no folder", True),
        (
            "kind: command, run: [/usr/bin/docker, run, web], health: 'http://a/'",
            "what /usr/bin/docker starts is run by a daemon, and would outlive the lease",
            True,
        ),
    ],
)
def test_what_is_missing_is_said(hypervisor: str, what: str, is_fatal: bool) -> None:
    said = findings_of(config_of(hypervisor))
    assert [fatal for text, fatal in said.items() if what in text] == [is_fatal]


def test_the_agent_has_the_adapter_and_others_find_the_program(tmp_path: Path) -> None:
    config = config_of(GOOD, folder=tmp_path)
    hypervisor = parts.make_hypervisor(config)
    assert isinstance(hypervisor, ServiceHypervisor)
    hypervisor.close()
    assert parts.make_access(config).identity() is None


def judge(runner: MonitorRunner) -> Monitor:
    return runner._threads[ENGINE_HEALTH]._monitor


def test_the_service_is_judged_by_its_own_address_or_command() -> None:
    runner = make_runner(config_of(GOOD))
    page = judge(runner)
    assert isinstance(page, EngineHealth)
    # Any page will do.
    assert (page.url, page.body, page.timeout_s) == ("http://127.0.0.1:8080/", "", 10.0)
    runner = make_runner(config_of("kind: command, run: [sleep, 1h], health: [true]"))
    assert isinstance(judge(runner), HealthCommand)
    engine = "engine: {health: {url: 'http://engine/'}}"
    runner = make_runner(config_of("kind: command, run: [sleep, 1h]", engine))
    page = judge(runner)
    assert isinstance(page, EngineHealth)
    assert (page.url, page.body) == ("http://engine/", "DB Up")


# The health command.


def says(program: str, timeout_s: float = 20.0) -> HealthCommand:
    return HealthCommand([sys.executable, "-c", program], timeout_s, lambda: 1)


def test_status_0_is_good_and_all_else_is_bad_with_its_last_line() -> None:
    assert says("").measure().health is Health.GOOD
    bad = says("print('one'); print('no connection'); exit(2)").measure()
    assert (bad.health, bad.why) == (Health.BAD, "status 2: no connection")
    assert says("exit(1)").measure().why == "status 1"


def test_a_command_that_takes_too_long_is_bad_and_is_gone_with_its_children() -> None:
    began = time.monotonic()
    child = (
        "import subprocess as s, sys; s.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    )
    found = says(child, 0.3).measure()
    assert (found.health, found.why) == (Health.BAD, "no answer within 0.3 s")
    assert time.monotonic() - began < 10.0


def test_no_command_is_run_where_the_service_is_not() -> None:
    absent = attrs.evolve(says("exit(1)"), pid=lambda: None)
    assert absent.measure().health is Health.UNKNOWN


def test_a_command_that_is_not_there_says_nothing_about_the_service() -> None:
    with pytest.raises(MonitorError, match="can't be run: No such file"):
        HealthCommand(["/nowhere/health"], 1.0, lambda: 1).measure()
