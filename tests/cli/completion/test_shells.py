"""Completion in the shells themselves: somebody types, presses Tab, and the line is run."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from he_fsm.cli.completion import PROGRAMS, SHELLS, source_of
from tests.cli.conftest import environment

# The line is not run by the program, but by a function of the shell, which prints it.
SHOWN = {
    "bash": "{name}() {{ printf '<<%s>>\\n' \"$*\"; }}",
    "zsh": "{name}() {{ printf '<<%s>>\\n' \"$*\" }}",
    "fish": "function {name}; printf '<<%s>>\\n' \"$argv\"; end",
}
STARTS = {
    "bash": ["--norc", "--noprofile", "-i"],
    "zsh": ["-f", "-i"],
    "fish": ["--no-config", "--private", "-i"],
}
STARTERS = {
    "he-fsm": "he_fsm.cli.main import main",
    "he-fsm-agent": "he_fsm.cli.daemons import agent",
    "he-fsm-broker": "he_fsm.cli.daemons import broker",
    "hosted-engine": "he_fsm.cli.hosted_engine import main",
}
BEFORE = {"bash": "bind 'set bell-style none'", "zsh": "autoload -U compinit; compinit -u -D"}
SOURCE = {"fish": "{} | source"}


class Shell:
    """A shell on a terminal, which knows the completion of our programs."""

    def __init__(self, name: str, folder: Path, *, is_packaged: bool = False) -> None:
        values = environment({"TERM": "dumb", "HOME": str(folder), "LC_ALL": "C.UTF-8"})
        values["PATH"] = f"{folder / 'bin'}{os.pathsep}{values['PATH']}"
        self.name = name
        self.child = pexpect.spawn(
            name,
            STARTS[name],
            env=values,
            cwd=str(folder),
            encoding="utf-8",
            timeout=30,
            dimensions=(40, 200),
        )
        if is_packaged:
            self.say(f"fpath=({folder / 'functions'} $fpath)")
        self.say(BEFORE.get(name, ""))
        for program in () if is_packaged else PROGRAMS:
            command = f"he-fsm completion {name} {program}"
            self.say(SOURCE.get(name, "source <({})").format(command))
        for program in PROGRAMS:
            self.say(SHOWN[name].format(name=program))
        self.child.sendline("echo rea''dy")
        self.child.expect_exact("ready")

    def say(self, line: str) -> None:
        self.child.sendline(line)

    def ran(self, typed: str) -> str:
        """Type this, of which a Tab is a part; return the words of the line that was run."""
        self.child.sendline(typed)
        self.child.expect(r"<<(.*?)>>\r?\n")
        assert self.child.match is not None
        return str(self.child.match[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with some files, and the programs as they are installed."""
    made = tmp_path_factory.mktemp("home")
    (made / "bin").mkdir()
    for program in PROGRAMS:
        code = f"from {STARTERS[program]} as main; main()"
        path = made / "bin" / program
        path.write_text(f"#!{sys.executable}\n{code}\n")
        path.chmod(0o755)
    (made / "cluster.yaml").touch()
    return made


@pytest.fixture(scope="module", params=SHELLS)
def shell(request: pytest.FixtureRequest, folder: Path) -> Iterator[Shell]:
    name = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed: install the package {name}")
    made = Shell(name, folder)
    yield made
    made.child.close(force=True)


@pytest.mark.parametrize(
    ("typed", "ran"),
    [
        ("he-fsm expl\t", "explain"),
        ("he-fsm storage cle\t3", "storage clear-slot 3"),
        ("he-fsm clean --dry\t", "clean --dry-run"),
        ("he-fsm diagram --format mer\t", "diagram --format mermaid"),
        ("he-fsm simulate clus\t", "simulate cluster.yaml"),
        ("he-fsm-agent --onc\t", "--once"),
        ("he-fsm-broker --check\t", "--check-config"),
        ("hosted-engine --vm-stat\t", "--vm-status"),
        ("hosted-engine --vm-status --js\t", "--vm-status --json"),
        ("hosted-engine --set-maintenance --mode=glo\t", "--set-maintenance --mode=global"),
        ("hosted-engine --clean-metadata --host\t3", "--clean-metadata --host-id=3"),
        ("hosted-engine --vm-start --vm-conf=clus\t", "--vm-start --vm-conf=cluster.yaml"),
        ("hosted-engine --help check-dep\t", "--help check-deployed"),
    ],
)
def test_a_tab_completes_the_word(shell: Shell, typed: str, ran: str) -> None:
    assert shell.ran(typed) == ran


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_loads_it_from_files_as_packages_bring_them(folder: Path) -> None:
    (folder / "functions").mkdir()
    for program in PROGRAMS:
        (folder / "functions" / f"_{program}").write_text(source_of("zsh", program))
    shell = Shell("zsh", folder, is_packaged=True)
    try:
        for _ in range(2):
            assert shell.ran("he-fsm expl\t") == "explain"
            assert shell.ran("hosted-engine --vm-stat\t") == "--vm-status"
    finally:
        shell.child.close(force=True)
