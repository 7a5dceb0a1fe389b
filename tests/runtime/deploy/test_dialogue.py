"""The dialogue in a real terminal, driven by pexpect."""

from __future__ import annotations

import io
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pytest
import yaml

from tests.cli.conftest import command_line, environment
from tests.runtime.deploy.deploying import ENDS_S, DeployedHost, DeploySite

PASSWORD = "admin-Geheimnis-7"  # noqa: S105 - what the test looks for


@contextmanager
def terminal(words: list[str], **values: str) -> Iterator[Any]:
    """Run a command in a terminal of its own."""
    program, *arguments = command_line(*words)
    child = pexpect.spawn(
        program, arguments, env=environment(values), timeout=ENDS_S, encoding="utf-8"
    )
    child.setwinsize(50, 200)
    try:
        yield child
    finally:
        child.close(force=True)


def answer(child: Any, words: str, text: str) -> None:
    child.expect_exact(words)
    child.sendline(text)


def ended(child: Any) -> tuple[int, str]:
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus, child.before


def begin(child: Any, site: DeploySite) -> None:
    answer(child, "Are you sure you want to continue? (Yes, No)[Yes]: ", "")
    child.expect_exact("--== STORAGE CONFIGURATION ==--")
    answer(child, "(example: host:/path): ", "shared")
    child.expect_exact("[ ERROR ] 'shared' is no absolute path like /srv/he-fsm")
    answer(child, "(example: host:/path): ", str(site.shared))
    child.expect_exact("[ INFO  ] Installing on first host")
    child.expect_exact("--== NETWORK CONFIGURATION ==--")
    answer(child, "Please indicate a pingable gateway IP address: ", "192.0.2.77")
    child.expect_exact("[ ERROR ] '192.0.2.77' does not answer a ping")
    answer(child, "Please indicate a pingable gateway IP address: ", "127.0.0.1")
    answer(child, "[Defaults to minimum requirement: 4096]: ", "4200")
    answer(child, "for the engine installation within the VM: ", "engine")
    child.expect_exact("[ ERROR ] 'engine' is no fully qualified name")
    answer(child, "for the engine installation within the VM: ", "engine.example.com")
    child.expect_exact("--== CONFIGURATION PREVIEW ==--")
    child.expect_exact("Gateway address                    : 127.0.0.1")


def words_of(host: DeployedHost) -> list[str]:
    return ["deploy", *host.words("--hypervisor", "embedded", "--storage-type", "directory")]


def test_a_first_host_in_a_terminal(site: DeploySite) -> None:
    """With wrong answers, and the talk's warning to those who come by SSH."""
    host = site.host(1)
    with terminal(words_of(host), SSH_CONNECTION="192.0.2.8 1 192.0.2.9 22") as child:
        child.expect_exact("Are you sure you want to continue? (Yes, No)[Yes]: ")
        child.sendline("perhaps")
        child.expect_exact("[ ERROR ] 'perhaps' is neither Yes nor No")
        child.sendline("yes")
        child.expect_exact("through an SSH connection without using screen")
        answer(child, "Do you want to continue anyway? (Yes, No)[No]: ", "")
        status, said = ended(child)
        assert (status, "Nothing was done" in said) == (0, True)
    assert not host.config.exists()
    with terminal(words_of(host)) as child:
        begin(child, site)
        answer(child, "Please confirm installation settings (Yes, No)[No]: ", "yes")
        status, said = ended(child)
    assert status == 0, said
    assert "Hosted Engine successfully set up" in said
    assert yaml.safe_load(host.config.read_text(encoding="utf-8"))["engine"]["memory"] == 4200


def test_a_second_run_takes_the_answers_and_asks_for_one_that_is_wrong_now(
    site: DeploySite,
) -> None:
    """The first run fails in a stage; the second one has another gateway to ask for."""
    host = site.host(1)
    in_the_way = site.shared / "whiteboard"
    answers = host.state_dir / "deployment.answers"
    with terminal(words_of(host)) as child:
        begin(child, site)
        in_the_way.parent.mkdir()
        in_the_way.touch()
        answer(child, "Please confirm installation settings (Yes, No)[No]: ", "yes")
        status, said = ended(child)
    assert status == 1, said
    assert f"{in_the_way} is there already" in said
    assert f"The next run takes the answers, which are kept in {answers}" in said
    assert stat.S_IMODE(answers.stat().st_mode) == 0o600
    in_the_way.unlink()
    text = answers.read_text(encoding="utf-8").replace("127.0.0.1", "192.0.2.77")
    answers.write_text(text, encoding="utf-8")
    with terminal(words_of(host)) as child:
        answer(child, "Are you sure you want to continue? (Yes, No)[Yes]: ", "")
        answer(child, "the answers that were given then, but for passwords? (Yes, No)[Yes]: ", "")
        child.expect_exact(f"{answers}: OVEHOSTED_NETWORK/gateway: '192.0.2.77' does not answer")
        answer(child, "Please indicate a pingable gateway IP address: ", "127.0.0.1")
        child.expect_exact("Memory size MB                     : 4200")
        answer(child, "Please confirm installation settings (Yes, No)[No]: ", "yes")
        status, said = ended(child)
    assert status == 0, said
    assert yaml.safe_load(host.config.read_text(encoding="utf-8"))["engine"]["memory"] == 4200
    assert not answers.exists()


@pytest.mark.long
def test_answers_that_are_not_wanted_any_more(site: DeploySite) -> None:
    host = site.host(1)
    host.state_dir.mkdir(parents=True)
    answers = host.state_dir / "deployment.answers"
    answers.write_text("[environment:default]\nHE_FSM/memory=none:None\n", encoding="utf-8")
    with terminal(words_of(host)) as child:
        answer(child, "Are you sure you want to continue? (Yes, No)[Yes]: ", "")
        # Nothing of use is in it.
        child.expect_exact("(example: host:/path): ")
        child.sendeof()
        assert ended(child)[0] == 130
    kept = "[environment:default]\nOVEHOSTED_NETWORK/gateway=str:127.0.0.1\n"
    answers.write_text(kept, encoding="utf-8")
    with terminal(words_of(host)) as child:
        answer(child, "Are you sure you want to continue? (Yes, No)[Yes]: ", "")
        answer(child, "the answers that were given then, but for passwords? (Yes, No)[Yes]: ", "no")
        answer(child, "(example: host:/path): ", str(site.shared))
        child.expect_exact("Please indicate a pingable gateway IP address: ")
        child.sendeof()
        assert ended(child)[0] == 130
    assert not answers.exists()
    answers.write_text(kept.replace("str:", ""), encoding="utf-8")
    refused = site.run(host.first_words())
    assert refused.returncode == 2
    assert "expected TYPE:VALUE" in refused.stderr
    assert f"rm {answers}, and answer anew" in refused.stderr


@pytest.mark.long
def test_settings_that_are_not_confirmed_and_ctrl_d(site: DeploySite) -> None:
    host = site.host(1)
    before = site.tree()
    with terminal(words_of(host)) as child:
        begin(child, site)
        answer(child, "Please confirm installation settings (Yes, No)[No]: ", "")
        status, said = ended(child)
        assert (status, "Nothing was done" in said) == (0, True)
    with terminal(words_of(host)) as child:
        answer(child, "Are you sure you want to continue? (Yes, No)[Yes]: ", "")
        child.expect_exact("(example: host:/path): ")
        child.sendeof()
        assert ended(child)[0] == 130
    assert site.tree() == before


ASKS = """
import io
import stat
import sys
sys.path.insert(0, {root!r})
from tests.deploy.answering import ANSWERS, MACHINE, Around
from he_fsm.cli.deploying.dialogue import Dialogue
from he_fsm.deploy.asking.answers import Given, settle
given = {{key: Given(text, "test") for key, text in ANSWERS.items()}}
given |= {{"ovirt_engine": Given("Yes", "test")}}
found = settle(given, MACHINE, Around(), Dialogue(is_there=True))
print("taken" if found["admin_password"] == {password!r} else "lost")
"""


def test_a_password_is_asked_for_twice_without_an_echo() -> None:
    root = str(Path(__file__).parents[3])
    code = ASKS.format(root=root, password=PASSWORD)
    child = pexpect.spawn(
        sys.executable, ["-c", code], env=environment({}), timeout=30, encoding="utf-8"
    )
    child.setwinsize(50, 200)
    child.logfile_read = seen = io.StringIO()
    for _ in range(3):
        # CPUs, disk, memory.
        answer(child, "[Defaults to minimum requirement: ", "")
    answer(child, "(vnc, spice) [vnc]: ", "")
    answer(child, "Administrator Portal [hosted_engine_1]: ", "")
    answer(child, "accessing the Administrator Portal: ", PASSWORD)
    answer(child, "Confirm 'admin@internal' user password", "another")
    child.expect_exact("[ ERROR ] the passwords do not match")
    answer(child, "accessing the Administrator Portal: ", PASSWORD)
    answer(child, "Confirm 'admin@internal' user password", PASSWORD)
    child.expect_exact("taken")
    child.close()
    assert PASSWORD not in seen.getvalue()
