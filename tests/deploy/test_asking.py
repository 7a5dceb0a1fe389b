"""The questions: order, words, defaults, checks; and what oVirt's answer file says to them."""

from __future__ import annotations

import ast
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import he_fsm.deploy
from he_fsm.deploy.asking import readers
from he_fsm.deploy.asking.answers import Given, settle, text_of
from he_fsm.deploy.asking.questions import BY_KEY, QUESTIONS
from he_fsm.deploy.planning.ovirt_files import answers_conf, given_of, has_secret
from he_fsm.deploy.planning.preview import preview
from he_fsm.errors import AnswerError, ConfigError
from tests.deploy.answering import ANSWERS, MACHINE, SECRETS, Around, Person, settled

CPUS = "Please specify the number of virtual CPUs for the VM"
FOLDER = Path(he_fsm.deploy.__file__).parent


def test_the_dialogue_goes_as_in_the_talk() -> None:
    """Order and words; what the talk did not have yet comes between."""
    person = Person(
        [
            *("qemu", "nfs", "dellserver.home:/home/images", ""),
            *("192.168.1.1", "cdrom", "/home/Fedora-19-x86_64-DVD.iso"),
            *("", "", "", "", "No", "ovirt.home"),
        ]
    )
    values = settle({}, MACHINE, Around(), person)
    assert person.headings == [
        "STORAGE CONFIGURATION",
        "NETWORK CONFIGURATION",
        "VM CONFIGURATION",
        "HOSTED ENGINE CONFIGURATION",
    ]
    assert [words for words in person.asked if "Defaults to minimum requirement" in words] == [
        f"{CPUS} [Defaults to minimum requirement: 2]: ",
        "Please specify the disk size of the VM in GB [Defaults to minimum requirement: 25]: ",
        "Please specify the memory size of the VM in MB [Defaults to minimum requirement: 4096]: ",
    ]
    assert person.asked[2] == (
        "Please specify the full shared storage connection path to use (example: host:/path): "
    )
    assert person.asked[4] == "Please indicate a pingable gateway IP address: "
    assert (values["storage"], values["mount_point"]) == (
        "dellserver.home:/home/images",
        "/srv/he-fsm",
    )
    assert "Gateway address                    : 192.168.1.1" in preview(values, 1)


def test_a_wrong_answer_is_asked_again() -> None:
    around = Around({"192.0.2.9": "does not answer a ping"})
    given_first = {key: Given(text, "test") for key, text in ANSWERS.items() if key != "gateway"}
    person = Person(["gate", "192.0.2.9", "192.0.2.1", *[""] * 9])
    values = settle(given_first, MACHINE, around, person)
    assert person.complaints == [
        "'gate' is no IP address like 192.0.2.1",
        "'192.0.2.9' does not answer a ping",
    ]
    assert values["gateway"] == "192.0.2.1"


def test_a_given_answer_is_named_with_its_place() -> None:
    with pytest.raises(AnswerError, match=r"test: '4G' is no whole number from 16 to"):
        settled(memory_mb="4G")


def test_no_complaint_shows_a_password() -> None:
    with pytest.raises(AnswerError) as raised:
        settled(ovirt_engine="Yes", **{**SECRETS, "admin_password": "geheim\x07"})
    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"leases": "embedded", "hypervisor": "libvirt"}, "expected sanlock"),
        ({"hypervisor": "vdsm"}, "ovirt-hosted-engine-setup"),
        (
            {"storage_type": "block", "storage": "/dev/sdb", "vm_device": "/dev/sdb"},
            "is that of the leases",
        ),
        (
            {"storage_type": "fc", "storage": "", "lun": "3600a0b80", "vm_lun": "3600a0b80"},
            "is that of the leases",
        ),
    ],
)
def test_answers_that_do_not_fit_each_other(answers: dict[str, str], said: str) -> None:
    with pytest.raises(AnswerError, match=said):
        settled(**answers)


GOOD = {
    readers.remote_path: ("host:/path", "192.0.2.5:/a/b", "[2001:db8::1]:/srv"),
    readers.gluster_path: ("host:/volume",),
    readers.path: ("/srv/he-fsm", "/"),
    readers.portals: ("192.0.2.10", "192.0.2.10,192.0.2.11"),
    readers.target: ("iqn.2026-11.com.example:engine", "iqn.2026-11.com.example"),
    readers.address: ("192.0.2.1", "2001:db8::1"),
    readers.cidr: ("192.0.2.20/24",),
    readers.fqdn: ("engine.example.com", "a.b"),
    readers.url: ("http://engine.example.com/health", "https://[2001:db8::1]:8443/"),
    readers.mac: ("52:54:00:12:34:56",),
    readers.words: ("/usr/bin/db --name 'a b'", "db"),
    readers.stop: ("SIGTERM", "/usr/bin/db-stop $MAINPID"),
    readers.page_or_words: ("http://engine.example.com/health", "/usr/bin/is-well -q"),
    readers.unit: ("postgresql@15-main.service", "a.target"),
}
BAD = {
    readers.remote_path: ("", "host", "host:path", ":/x", "ho st:/x", "/srv"),
    readers.gluster_path: ("host:volume", "host:/a/b"),
    readers.path: ("", "srv", "/srv/../etc", "/a\nb"),
    readers.portals: ("", "192.0.2.10,", "a b"),
    readers.target: ("engine", "iqn.26-11.com.example"),
    readers.address: ("", "gateway", "192.0.2", "192.0.2.1/24"),
    readers.cidr: ("192.0.2.20", "192.0.2.20/33"),
    readers.fqdn: ("engine", "192.0.2.1", "-a.example", "a..b", "x" * 64 + ".example"),
    readers.url: ("engine.example.com", "ftp://a/", "http:///x", "http://a:99999/", "http://a b/"),
    readers.mac: ("53:54:00:12:34:56", "52:54:00:12:34"),
    readers.words: ("", "'", "''", "a\nb"),
    readers.stop: ("", "SIGNOTHING"),
    readers.page_or_words: ("", "http://", "http://a b/"),
    readers.unit: ("postgresql", "a b.service", ".service/x"),
}


@pytest.mark.parametrize("read", GOOD, ids=lambda read: read.__name__)
def test_what_an_answer_may_be(read: readers.Reader) -> None:
    for text in GOOD[read]:
        assert read(text) == text


@pytest.mark.parametrize("read", BAD, ids=lambda read: read.__name__)
def test_what_an_answer_may_not_be(read: readers.Reader) -> None:
    for text in BAD[read]:
        with pytest.raises(ValueError, match=r"^is no |^is no$"):
            read(text)


@given(text=st.text(max_size=30))
def test_no_reader_fails_otherwise(text: str) -> None:
    for question in QUESTIONS:
        try:
            question.value_of(text, {"storage_type": "nfs"})
        except ValueError as error:
            assert str(error).startswith(("is ", "has "))  # noqa: PT017 - the words alone matter


@given(
    memory=st.integers(16, 10**6),
    cpus=st.integers(1, 512),
    huge=st.booleans(),
    name=st.from_regex(r"[a-z]([a-z0-9]{0,8})\.example\.(com|org)", fullmatch=True),
    console=st.sampled_from(["vnc", "spice"]),
)
def test_answers_are_the_same_after_ovirts_file(
    memory: int, cpus: int, name: str, console: str, *, huge: bool
) -> None:
    """Types and all; without what is one host's own."""
    values = settled(
        memory_mb=str(memory), cpus=str(cpus), huge_pages=text_of(huge), fqdn=name, console=console
    )
    found, _ = given_of(answers_conf(values), "answers.conf")
    own = {"host_id", "hostname"}
    again = settle(found, MACHINE, Around(), Person())
    assert {key: value for key, value in again.items() if key not in own} == {
        key: value for key, value in values.items() if key not in own
    }


def test_the_answer_file_has_no_password() -> None:
    values = settled(
        ovirt_engine="Yes", **SECRETS, boot="disk",
        image="/srv/image.ova",
    )  # fmt: skip
    assert {key: values[key] for key in SECRETS} == SECRETS
    assert "Geheimnis" not in answers_conf(values)
    assert not any("Geheimnis" in line for line in preview(values, 1))


def test_ovirts_types_and_confirmations() -> None:
    text = (
        "[environment:default]\nOVEHOSTED_VM/vmMemSizeMB=int:5120\nOVEHOSTED_VM/vmCDRom=none:None\n"
        "OVEHOSTED_NETWORK/firewallManager=str:iptables\nOVEHOSTED_CORE/screenProceed=bool:True\n"
        "OVEHOSTED_ENGINE/adminPassword=str:x\n[environment:override]\n"
        "OVEHOSTED_VM/vmMemSizeMB=int:6144\n"
    )
    found, proceeds = given_of(text, "a.conf")
    assert {key: each.text for key, each in found.items()} == {
        "memory_mb": "6144",
        "firewall": "No",
        "admin_password": "x",
    }
    assert proceeds == {"screen_proceed": True}
    assert has_secret(found)
    assert "x" not in repr(found["admin_password"].__class__("x", "y"))[:6]
    with pytest.raises(ConfigError, match=r"a\.conf:2: A/b: expected TYPE:VALUE"):
        given_of("[environment:default]\nA/b=1\n", "a.conf")


def test_keys_are_told_apart() -> None:
    ovirt = [question.ovirt for question in QUESTIONS if question.ovirt]
    assert len(BY_KEY) == len(QUESTIONS)
    assert len(set(ovirt)) == len(ovirt)


def test_secrets_have_no_default_and_no_label() -> None:
    secrets = [question for question in QUESTIONS if question.is_secret]
    assert [(question.default, question.label) for question in secrets] == [(None, "")] * 2


@pytest.mark.parametrize("room", ["asking", "planning"])
def test_questions_and_plans_open_nothing(room: str) -> None:
    forbidden = {"os", "subprocess", "socket", "shutil", "time", "random", "secrets", "psutil"}
    for path in (FOLDER / room).glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            alias.name.partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        } | {
            str(node.module).partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
        }
        calls = {
            node.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not names & forbidden, path
        assert not calls & {"open", "print", "input"}, path


def test_a_bridge_that_is_missing_is_asked_for() -> None:
    without = attrs.evolve(MACHINE, interfaces=("eth0",), bridges=())
    assert settled(without)["bridge_nic"] == "eth0"
    assert "bridge_nic" not in settled()


def test_a_kept_answer_that_can_t_be_used_is_asked_for_again() -> None:
    """Other answers that were given beforehand are refused at once."""
    answers = {key: Given(text, "kept", is_kept=True) for key, text in ANSWERS.items()}
    answers["gateway"] = Given("192.0.2.7", "kept", is_kept=True)
    around = Around({"192.0.2.7": "does not answer a ping"})
    person = Person(["192.0.2.1"])
    values = settle(answers, MACHINE, around, person)
    assert values["gateway"] == "192.0.2.1"
    assert person.complaints == ["kept: '192.0.2.7' does not answer a ping"]
    assert person.asked[0].startswith("Please indicate a pingable gateway")
    answers["gateway"] = Given("192.0.2.7", "--gateway")
    with pytest.raises(AnswerError, match=r"--gateway: .* does not answer a ping"):
        settle(answers, MACHINE, around, Person(["192.0.2.1"]))
