from __future__ import annotations

import subprocess
import sys
from typing import Callable

import click
import pytest

from he_fsm import __version__
from he_fsm.cli import daemons
from he_fsm.cli import main as commands
from tests.cli.conftest import Ran, environment

NAMES = [
    "simulate",
    "rehearse",
    "campaign",
    "tune",
    "check",
    "explain",
    "diagram",
    "score",
    "timing",
    "status",
    "doctor",
    "why",
    "what-if",
    "dashboard",
    "history",
    "capture",
    "replay",
    "metrics",
    "move",
    "notify",
    "maintenance",
    "console",
    "vm",
    "liveliness",
    "deploy",
    "undeploy",
    "storage",
    "lockspace",
    "clean",
    "whiteboard",
    "config",
    "completion",
]
# What the help must not wait for.
HEAVY = ["yaml", "rich", "plotly", "graphviz", "transitions", "cattrs", "scipy", "numpy"]
HEAVY += ["he_fsm.simulate", "he_fsm.scenario", "he_fsm.states", "he_fsm.metadata"]


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_the_help_lists_every_command_with_a_line(run: Callable[..., Ran], option: str) -> None:
    ran = run(option)
    assert ran.status == 0
    listed = ran.out.partition("Commands:")[2].split("\n")
    assert [line.split()[0] for line in listed if line.startswith("  ") and line[2] != " "] == NAMES
    assert all(len(line.split()) > 3 for line in listed if line.startswith("  "))


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_a_help(run: Callable[..., Ran], name: str) -> None:
    ran = run(name, "--help")
    assert ran.status == 0
    assert ran.out.startswith(f"Usage: he-fsm {name} ")


@pytest.mark.parametrize("name", NAMES)
def test_every_option_says_what_it_is(name: str) -> None:
    group = commands.cli
    command = group.get_command(click.Context(group), name)
    assert command is not None
    options = [each for each in command.params if isinstance(each, click.Option)]
    assert [each.name for each in options if not each.help] in ([], ["hosts"])


def test_the_version(run: Callable[..., Ran]) -> None:
    assert run("--version").out == run("-V").out == f"he-fsm, version {__version__}\n"


@pytest.mark.parametrize("arguments", [("nonsense",), ("simulate", "--nonsense")])
def test_what_is_no_command_ends_with_status_2(
    run: Callable[..., Ran], arguments: tuple[str, ...]
) -> None:
    ran = run(*arguments)
    assert (ran.status, ran.out) == (2, "")
    message, _, hint = ran.err.partition("\n")
    assert message.startswith("he-fsm: no such ")
    assert not message.endswith(".")
    assert hint in ("Try 'he-fsm --help'.\n", "Try 'he-fsm simulate --help'.\n")


@pytest.mark.parametrize("arguments", [(), ("config",), ("storage",), ("whiteboard",)])
def test_a_call_without_a_command_gets_the_help(
    run: Callable[..., Ran], arguments: tuple[str, ...]
) -> None:
    assert run(*arguments) == Ran(0, run(*arguments, "--help").out, "")


@pytest.mark.parametrize("daemon", ["agent", "broker"])
def test_a_daemon_says_who_it_is_when_it_is_called_wrongly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], daemon: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "--nonsense"])
    with pytest.raises(SystemExit) as caught:
        getattr(daemons, daemon)()
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(f"he-fsm-{daemon}: no such option")


def test_the_module_is_the_command() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "he_fsm", "explain", "nonsense"],
        env=environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("he-fsm: ")


def test_completion_knows_every_command() -> None:
    assert commands.cli.list_commands(click.Context(commands.cli)) == NAMES


def test_a_name_that_is_no_command_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(commands._COMMANDS, "broken", ("he_fsm.cli.main", "Not one."))
    monkeypatch.setattr(commands, "broken", "text", raising=False)
    with pytest.raises(TypeError, match=r"he_fsm\.cli\.main\.broken is no command"):
        commands.cli.get_command(click.Context(commands.cli), "broken")


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_help_loads_nothing_that_it_does_not_need(option: str) -> None:
    code = (
        "import sys\n"
        "from he_fsm.cli.main import cli\n"
        "cli(sys.argv[1:], standalone_mode=False)\n"
        "print(*sorted(sys.modules), file=sys.stderr)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, option],
        env=environment({}),
        capture_output=True,
        check=True,
        timeout=60,
    )
    loaded = ran.stderr.decode().split()
    assert "click" in loaded
    assert [name for name in HEAVY if name in loaded] == []
