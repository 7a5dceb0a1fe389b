"""What is printed for shells."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Callable

import pytest

from he_fsm.cli.completion import PROGRAMS, SHELLS, source_of
from he_fsm.cli.completion.original import follow_ups
from he_fsm.cli.hosted_engine import words_of
from he_fsm.cli.main import cli
from he_fsm.errors import HeFsmError
from tests.cli.conftest import Ran, environment


@pytest.mark.parametrize("shell", SHELLS)
def test_all_of_our_own_programs_are_printed_and_the_original_only_by_name(
    run: Callable[..., Ran], shell: str
) -> None:
    own = run("completion", shell).out
    assert [name for name in PROGRAMS if f" {name}\n" in own or f" {name} " in own] == [
        *PROGRAMS[:-1]
    ]
    assert "hosted-engine" in run("completion", shell, "hosted-engine").out


@pytest.mark.parametrize("words", [("tcsh",), ("bash", "virsh"), ()])
def test_other_shells_and_programs_are_wrong_use(
    run: Callable[..., Ran], words: tuple[str, ...]
) -> None:
    assert run("completion", *words).status == 2


def test_a_shell_that_click_does_not_know_is_named() -> None:
    with pytest.raises(HeFsmError, match="no completion is known for tcsh; known: bash, zsh, fish"):
        source_of("tcsh", "he-fsm")


def test_each_option_that_the_help_of_the_original_names_can_be_completed() -> None:
    """All but the password, which every user could read."""
    for name, words in words_of().items():
        named = set(re.findall(r"--[a-z-]+", words)) - {"--password"}
        assert {word.partition("=")[0] for word in follow_ups()[name]} == named


def test_all_commands_are_offered_without_loading_them() -> None:
    code = "import sys; from he_fsm.cli.main import main\ntry: main()\nfinally: print(*sys.modules)"
    values = {"_HE_FSM_COMPLETE": "bash_complete", "COMP_WORDS": "he-fsm ", "COMP_CWORD": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(values),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    *offered, loaded = ran.stdout.splitlines()
    assert offered == [f"plain,{name}" for name in cli.list_commands(None)]  # type: ignore[arg-type]
    assert not {"yaml", "rich", "he_fsm.simulate", "he_fsm.runtime"} & set(loaded.split())


def test_a_command_whose_packages_are_missing_completes_nothing_and_says_nothing() -> None:
    code = "import sys; sys.modules['requests'] = None\nfrom he_fsm.cli.main import main; main()"
    values = {"_HE_FSM_COMPLETE": "bash_complete", "COMP_WORDS": "he-fsm status --"}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=environment({**values, "COMP_CWORD": "2"}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.stderr == ""
