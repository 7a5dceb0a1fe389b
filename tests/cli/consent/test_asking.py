"""What destroys something asks first: on a terminal, by `--yes`, and not with `--dry-run`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pexpect
import pytest

from he_fsm.cli.main import cli
from he_fsm.cli.options.asking import DRY_RUN, YES, Consent
from tests.cli.conftest import command_line, environment
from tests.cli.test_vm import Host

PAGE = Path(__file__).parents[3] / "docs" / "commands.md"

DESTROY = {
    "clean",
    "config set",
    "deploy",
    "lockspace reset",
    "storage clear-slot",
    "storage init",
    "undeploy",
    "vm define",
    "vm edit",
    "vm poweroff",
    "vm shutdown",
}
# Everything else: it reads, computes, or sets what the next command sets back.
LOSE_NOTHING = {
    *("campaign", "check", "diagram", "explain", "rehearse", "score", "simulate", "timing", "tune"),
    *(
        "completion",
        "dashboard",
        "doctor",
        "history",
        "liveliness",
        "replay",
        "status",
        "what-if",
        "why",
    ),
    "whiteboard show",
    *("config check", "config get", "config show", "vm show"),
    # They change what people see or use, and lose nothing.
    *(
        "capture",
        "console",
        "maintenance",
        "metrics",
        "move",
        "notify test",
        "vm console",
        "vm start",
    ),
}


def commands(group: click.Group = cli, name: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{name}{word} ")
        else:
            yield f"{name}{word}", command


ALL = dict(commands())


@pytest.mark.parametrize("name", ALL)
def test_each_command_destroys_or_loses_nothing(name: str) -> None:
    """A new command belongs to one of the two sets above, and to the page if it destroys."""
    assert (name in DESTROY) != (name in LOSE_NOTHING)


@pytest.mark.parametrize("name", sorted(DESTROY))
def test_what_destroys_asks_and_can_be_rehearsed(name: str) -> None:
    options = {word for param in ALL[name].params for word in param.opts}
    assert {YES, DRY_RUN} <= options


@pytest.mark.parametrize("name", sorted(LOSE_NOTHING))
def test_what_loses_nothing_needs_no_yes(name: str) -> None:
    assert YES not in {word for param in ALL[name].params for word in param.opts}


def test_the_page_says_what_is_lost() -> None:
    text = (
        PAGE.read_text(encoding="utf-8").partition("\n## What asks first")[2].partition("\n## ")[0]
    )
    assert set(re.findall(r"(?m)^\| `he-fsm ([\w -]+?)[^\w -]", text)) == DESTROY


# The command `vm define` needs no daemon, and so stands for all.


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    assert made.run("define", made.file(made.xml)).exit_code == 0
    return made


def other(host: Host) -> str:
    return host.file(host.xml.replace("<vcpu>1", "<vcpu>2"))


def words(host: Host, *options: str) -> list[str]:
    return ["vm", "define", other(host), "--config", str(host.path), *options]


def is_changed(host: Host) -> bool:
    return "<vcpu>2" in host.run("show").stdout


KEYS = {"Ctrl-C": "c", "Ctrl-D": "d"}


class Asked:
    """A command on a terminal, and what somebody types there."""

    def __init__(self, host: Host, *options: str) -> None:
        python, *rest = command_line(*words(host, *options))
        self.child = pexpect.spawn(
            python, rest, env=environment({"TERM": "dumb"}), encoding="utf-8", timeout=30
        )

    def answered(self, answer: str) -> tuple[str, int]:
        """Answer the question; return all that was shown, and the exit status."""
        self.child.expect_exact("Go on? [y/N]: ")
        before = self.child.before
        if answer in KEYS:
            self.child.sendcontrol(KEYS[answer])
        else:
            self.child.sendline(answer)
        self.child.expect(pexpect.EOF)
        self.child.close()
        status = self.child.exitstatus
        assert status is not None
        return before + self.child.before, status


def test_a_person_reads_what_would_be_lost_and_agrees(host: Host) -> None:
    shown, status = Asked(host).answered("y")
    assert status == 0
    assert re.search(r"This would replace the definition of all hosts: version \d+, written", shown)
    assert re.search(r"\r\n-.*<vcpu>1</vcpu>.*\r\n\+.*<vcpu>2</vcpu>", shown)
    assert is_changed(host)


@pytest.mark.parametrize("answer", ["n", ""])
def test_no_is_the_answer_of_who_just_presses_enter(host: Host, answer: str) -> None:
    shown, status = Asked(host).answered(answer)
    assert status == 2
    assert "he-fsm: not confirmed: nothing was changed" in shown
    assert not is_changed(host)


@pytest.mark.parametrize("key", KEYS)
def test_who_leaves_the_question_has_not_agreed(host: Host, key: str) -> None:
    shown, status = Asked(host).answered(key)
    assert status == 130
    assert "he-fsm: stopped" in shown
    assert not is_changed(host)


def ended(child: pexpect.spawn) -> tuple[str, int]:
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus is not None
    return child.before, child.exitstatus


def test_yes_asks_nothing(host: Host) -> None:
    shown, status = ended(Asked(host, YES).child)
    assert (status, "Go on?" in shown) == (0, False)
    assert is_changed(host)


def test_a_rehearsal_asks_nothing_and_changes_nothing(host: Host) -> None:
    shown, status = ended(Asked(host, DRY_RUN).child)
    assert (status, "Go on?" in shown) == (0, False)
    assert shown.startswith("would replace the definition of all hosts: version ")
    assert not is_changed(host)


def test_a_rehearsal_stays_one_whatever_was_agreed_to(host: Host) -> None:
    assert ended(Asked(host, YES, DRY_RUN).child)[1] == 0
    assert not is_changed(host)


def test_without_a_terminal_the_option_is_named(host: Host, refused) -> None:
    said = refused(*words(host))
    assert said.startswith("would replace the definition of all hosts: version ")
    assert said.endswith("; without a terminal nobody can be asked: add --yes")
    assert not is_changed(host)


@pytest.mark.parametrize("closed", ["<", "2>"])
def test_who_can_not_read_or_answer_is_not_asked(host: Host, tmp_path: Path, closed: str) -> None:
    place = "/dev/null" if closed == "<" else str(tmp_path / "errors")
    script = f'exec "$@" {closed} "{place}"'
    child = pexpect.spawn(
        "/bin/sh",
        ["-c", script, "sh", *command_line(*words(host))],
        env=environment({"TERM": "dumb"}),
        encoding="utf-8",
        timeout=30,
    )
    shown, status = ended(child)
    assert status == 2
    assert "Go on?" not in shown
    assert not is_changed(host)


def test_the_first_definition_and_the_same_one_replace_nothing(host: Host, run) -> None:
    same = ["vm", "define", host.file(host.xml), "--config", str(host.path)]
    assert run(*same).status == 0
    (host.folder / "definition").unlink()
    assert run(*same, DRY_RUN).out == (
        f"would write the first definition in {host.folder}/definition\n"
    )
    assert not (host.folder / "definition").exists()
    assert run(*same).status == 0


def test_what_was_edited_and_not_agreed_to_is_kept(host: Host, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/<vcpu>1</<vcpu>2</' \"$1\"\n")
    editor.chmod(0o755)
    python, *rest = command_line("vm", "edit", "--config", str(host.path))
    child = pexpect.spawn(
        python,
        rest,
        env=environment({"TERM": "dumb", "VISUAL": str(editor)}),
        encoding="utf-8",
        timeout=30,
    )
    child.expect_exact("Go on? [y/N]: ")
    child.sendline("n")
    shown, status = ended(child)
    found = re.search(r"What you wrote is in (\S+)", shown)
    assert status == 2
    assert found is not None
    kept = Path(found[1])
    try:
        assert "<vcpu>2" in kept.read_text()
    finally:
        kept.unlink()
    assert not is_changed(host)


def test_an_edit_can_be_rehearsed(
    host: Host, tmp_path: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/<vcpu>1</<vcpu>2</' \"$1\"\n")
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    ran = run("vm", "edit", DRY_RUN, "--config", host.path)
    assert ran.status == 0
    assert ran.out.startswith("would replace the definition of all hosts: version ")
    assert re.search(r"(?m)^\+.*<vcpu>2</vcpu>", ran.out)
    assert not is_changed(host)


def test_a_name_from_another_host_does_nothing_to_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert not Consent(is_rehearsal=True).given("empty slot 3 (\x1b[2Jhost)", ["- \x07"])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\x07" not in shown
