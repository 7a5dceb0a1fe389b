"""`hosted-engine --get-shared-config` and `--set-shared-config`, on files as oVirt writes them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from he_fsm.cli import hosted_engine
from he_fsm.cli.hosted_engine import CONFIG_VARIABLE
from he_fsm.runtime.config.ovirt import shared
from he_fsm.runtime.config.ovirt.archive import ARCHIVE_BYTES, MEMBERS
from tests.cli.conftest import Ran

TAR = shutil.which("tar") or "tar"
IDS = ("1d0c", "2e1d", "3f2e")
LOCAL = f"""\
# Written by the deployment
fqdn=engine.example.com
vmid=11111111-2222-4333-8444-555555555555
host_id=1
sdUUID={IDS[0]}
conf_image_UUID={IDS[1]}
conf_volume_UUID={IDS[2]}
gateway=192.0.2.1
"""
BROKER = "[email]\nsmtp-server = localhost\nsmtp-port=25\n\n[notify]\nstate_transition=start|stop\n"
CONTENTS = {
    "version": "2.5.3",
    "fhanswers.conf": "[environment:default]\nOVEHOSTED_NETWORK/fqdn=str:engine.example.com\n",
    "hosted-engine.conf": LOCAL.replace("host_id=1\n", "").replace("192.0.2.1", "192.0.2.254"),
    "broker.conf": BROKER,
    "vm.conf": "vmId=11111111-2222-4333-8444-555555555555\nmemSize=4096\n",
}


@attrs.frozen
class Host:
    """The files of one host, and the volume that it shares."""

    folder: Path

    @property
    def local(self) -> Path:
        return self.folder / "setup" / "hosted-engine.conf"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def volume(self) -> Path:
        return self.folder.joinpath("storage", *IDS)

    def member(self, name: str) -> str:
        words = [TAR, "--extract", "--to-stdout", name]
        data = self.volume.read_bytes()[:ARCHIVE_BYTES]
        return subprocess.run(words, input=data, capture_output=True, check=True).stdout.decode()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path)
    for folder in (host.local.parent, host.state, tmp_path / "agent", tmp_path / "contents"):
        folder.mkdir()
    host.volume.parent.mkdir(parents=True)
    host.local.write_text(LOCAL)
    host.local.chmod(0o440)
    (host.state / "ha.conf").write_text("local_maintenance=False\nlocal_maintenance_manual=False\n")
    (host.state / "broker.conf").write_text(BROKER)
    for name, content in CONTENTS.items():
        (tmp_path / "contents" / name).write_text(content)
    words = [TAR, "--create", f"--record-size={ARCHIVE_BYTES}", *MEMBERS]
    made = subprocess.run(words, cwd=tmp_path / "contents", capture_output=True, check=True).stdout
    # A volume has at least 1 GiB on oVirt's storage.
    host.volume.write_bytes(made.ljust(1 << 20, b"\0"))
    (tmp_path / "he-fsm.yaml").write_text(
        f"""
storage: {{path: {tmp_path}}}
ovirt: {{dir: {host.local.parent}, agent_dir: {tmp_path / "agent"}, state_dir: {host.state}}}
monitors: {{network: {{test: none}}}}
"""
    )
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "he-fsm.yaml"))
    monkeypatch.setattr(shared, "STORAGE", tmp_path / "storage")
    return host


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = hosted_engine.run(words)
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(
    ("words", "out"),
    [
        (("host_id",), "\nhost_id : 1, type : he_local\n\n"),
        (("gateway", "--type=he_shared"), "\ngateway : 192.0.2.254, type : he_shared\n\n"),
        (("email.smtp-port",), "\nemail.smtp-port : 25, type : broker\n\n"),
        (("local_maintenance",), "\nlocal_maintenance : False, type : ha\n\n"),
        (("memSize",), "\nmemSize : 4096, type : vm\n\n"),
    ],
)
def test_a_value_is_printed_with_its_type(
    words: tuple[str, ...], out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "--get-shared-config", *words) == (0, out, "")


@pytest.mark.usefixtures("host")
def test_a_key_of_several_types_needs_one(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "--get-shared-config", "gateway")
    assert (status, out) == (1, "")
    assert err == (
        "hosted-engine: gateway is a key of he_local, he_shared: choose one with --type\n"
    )


@pytest.mark.usefixtures("host")
def test_of_an_unknown_key_all_that_are_there_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "--get-shared-config", "gatway")
    assert status == 1
    assert "ha : ['local_maintenance', 'local_maintenance_manual']\n" in err


def test_a_local_value_is_changed_alone(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--set-shared-config", "gateway", "192.0.2.9", "--type=he_local")
    assert run(capsys, *words) == (0, "", "")
    assert host.local.read_text() == LOCAL.replace("192.0.2.1", "192.0.2.9")
    assert host.local.stat().st_mode & 0o777 == 0o440


def test_a_shared_value_is_changed_in_the_volume_and_in_the_copy(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--set-shared-config", "email.smtp-server", "mail.example.com")
    assert run(capsys, *words) == (0, "", "")
    changed = BROKER.replace("smtp-server = localhost", "smtp-server = mail.example.com")
    assert host.member("broker.conf") == changed
    assert (host.state / "broker.conf").read_text() == changed
    for name in MEMBERS:
        if name != "broker.conf":
            assert host.member(name) == CONTENTS[name]
    assert len(host.volume.read_bytes()) == 1 << 20


def test_the_vm_is_the_engines_to_change(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "--set-shared-config", "memSize", "1")
    assert (status, err) == (
        1,
        "hosted-engine: vm.conf is the engine's to change, not this command's\n",
    )
    assert host.member("vm.conf") == CONTENTS["vm.conf"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "expected KEY VALUE [--type=TYPE]"),
        (("a",), "expected KEY VALUE [--type=TYPE]"),
        (("a", "1", "--type=x"), "TYPE is one of he_local, ha, he_shared, broker, vm"),
        (("gateway", "a b", "--type=he_local"), "'a b' can't be written as a value of"),
    ],
)
def test_what_can_not_be_set_is_refused(
    host: Host, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(capsys, "--set-shared-config", *words)
    assert status == 1
    assert message in err
    assert host.local.read_text() == LOCAL


def test_a_volume_that_holds_no_archive_is_said(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.volume.write_bytes(bytes(1 << 20))
    status, _, err = run(capsys, "--get-shared-config", "email.smtp-port", "--type=broker")
    assert status == 1
    assert "there is no shared configuration" in err or "is not whole" in err


# The same under `he-fsm`.


@pytest.fixture
def he_fsm(host: Host, run_cli: Callable[..., Ran]) -> Callable[..., Ran]:
    """Run `he-fsm config` on the host."""
    path = host.folder / "he-fsm.yaml"
    return lambda *words: run_cli("config", *words, "--config", path)


@pytest.fixture
def run_cli(request: pytest.FixtureRequest) -> Callable[..., Ran]:
    # This file has a function of that name.
    ran: Callable[..., Ran] = request.getfixturevalue("run")
    return ran


def test_a_value_alone_is_printed(he_fsm: Callable[..., Ran]) -> None:
    assert he_fsm("get", "--shared", "memSize") == Ran(0, "4096\n", "")
    done = he_fsm("get", "--shared", "gateway", "--type", "he_shared")
    assert done.out == "192.0.2.254\n"
    done = he_fsm("get", "--shared", "gateway")
    assert (done.status, done.out) == (2, "")
    assert "choose one with --type" in done.err


def test_all_values_are_printed_by_file(he_fsm: Callable[..., Ran]) -> None:
    shown = json.loads(he_fsm("show", "--shared", "--json").out)
    assert list(shown) == ["he_local", "ha", "he_shared", "broker", "vm", "answers"]
    assert shown["broker"]["email.smtp-port"] == "25"
    assert shown["answers"] == {"OVEHOSTED_NETWORK/fqdn": "str:engine.example.com"}
    assert "# ha\nlocal_maintenance : False\n" in he_fsm("show", "--shared").out


def test_an_answer_is_changed_and_has_a_type(he_fsm: Callable[..., Ran], host: Host) -> None:
    words = ("set", "--shared", "--type", "answers", "OVEHOSTED_NETWORK/fqdn")
    refused = he_fsm(*words, "other.example.com")
    assert refused.status == 2
    assert "expected TYPE:VALUE" in refused.err
    assert host.member("fhanswers.conf") == CONTENTS["fhanswers.conf"]
    done = he_fsm(*words, "str:other.example.com", "--yes")
    assert done.out == "OVEHOSTED_NETWORK/fqdn : str:other.example.com, type : answers\n"
    changed = CONTENTS["fhanswers.conf"].replace("engine.", "other.")
    assert host.member("fhanswers.conf") == changed


def test_a_value_is_changed_only_where_somebody_agrees(
    he_fsm: Callable[..., Ran], host: Host
) -> None:
    words = ("set", "--shared", "--type", "answers", "OVEHOSTED_NETWORK/fqdn", "str:b.example.com")
    deed = (
        "would change OVEHOSTED_NETWORK/fqdn of type answers from 'str:engine.example.com' to"
        " 'str:b.example.com'"
    )
    assert he_fsm(*words, "--dry-run") == Ran(0, f"{deed}\n", "")
    refused = he_fsm(*words)
    assert refused.status == 2
    assert refused.err.startswith(f"he-fsm: {deed}; ")
    assert host.member("fhanswers.conf") == CONTENTS["fhanswers.conf"]


def test_a_value_that_is_there_already_is_not_asked_about(he_fsm: Callable[..., Ran]) -> None:
    words = ("set", "--shared", "--type", "answers", "OVEHOSTED_NETWORK/fqdn")
    assert he_fsm(*words, "str:engine.example.com").status == 0
