"""Every file of an oVirt host: read by oVirt's rules, and changed without a loss."""

from __future__ import annotations

import base64
import io
import tarfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.document.lossless import ANSWERS, INI, SHELL, VM
from he_fsm.errors import ConfigError
from he_fsm.runtime.config.ovirt.answers import Answer, answers_of, with_answer
from he_fsm.runtime.config.ovirt.archive import (
    ARCHIVE_BYTES,
    MEMBERS,
    read_archive,
    with_member,
)
from he_fsm.runtime.config.ovirt.connection import connection_of
from he_fsm.runtime.config.ovirt.vm_conf import params_of, spec_of

HOSTED_ENGINE = """\
# Written by the deployment
fqdn=engine.example.com
vmid=11111111-2222-4333-8444-555555555555
ca_subject="C=EN, L=Test, O=Test, CN=Test"
nfs_version=v4_1
iqn=None
sp UUID is gone
"""
HA = "local_maintenance=False\nlocal_maintenance_manual=False\n"
AGENT = "# the same on all hosts\n[score]\nbase-score: 3400\nmgmt-bridge-score-penalty=600\n"
BROKER = """\
[email]
smtp-server = localhost
; old
smtp-port=25

[notify]
state_transition=start|stop
"""
VM_CONF = """\
# Editing the hosted engine VM is only possible via the manager UI
vmId=11111111-2222-4333-8444-555555555555
memSize = 4 096 # MB
devices={index:2,iface:ide,specParams:{},address:{controller:0,type:drive}}
devices={device:scsi,model:virtio-scsi}
custom_sap=false
display=vnc
"""
ANSWERS_CONF = """\
[environment:default]
OVEHOSTED_CORE/screenProceed=none:None
OVEHOSTED_NETWORK/fqdn=str:engine.example.com
OVEHOSTED_NETWORK/gateway=str:192.0.2.1
OVEHOSTED_VM/automateVMShutdown=bool:True
OVEHOSTED_VM/vmMemSizeMB=int:16384
OVEHOSTED_VM/cloudinitVMETCHOSTS=multi-str:192.0.2.1 one
\t192.0.2.2 two
[environment:enforce]
OVEHOSTED_VM/vmVCpus=str:4
"""
# Each file with its form, and a value of it that is not the last line's.
FILES = {
    "hosted-engine.conf": (SHELL, HOSTED_ENGINE, "vmid", ""),
    "ha.conf": (SHELL, HA, "local_maintenance", ""),
    "agent.conf": (INI, AGENT, "base-score", "score"),
    "broker.conf": (INI, BROKER, "smtp-port", "email"),
    "vm.conf": (VM, VM_CONF, "memSize", ""),
    "answers.conf": (ANSWERS, ANSWERS_CONF, "OVEHOSTED_NETWORK/gateway", "environment:default"),
}
plain = st.text("abcXYZ0189.:/_-", min_size=1, max_size=12)


@pytest.mark.parametrize("name", FILES)
@given(value=plain, comment=st.text(st.characters(codec="ascii", categories=["L", "N", "P"])))
def test_a_change_leaves_all_other_bytes(name: str, value: str, comment: str) -> None:
    form, text, key, section = FILES[name]
    text = f"# {comment}\n{text}# {comment}"
    [entry] = [each for each in form.read(text) if (each.key, each.section) == (key, section)]
    changed = form.set(text, key, value, section)
    assert form.get(changed, key, section) == value
    assert changed == text[: entry.begin] + value + text[entry.end :]


@pytest.mark.parametrize("name", FILES)
@given(value=plain)
def test_a_new_key_leaves_all_bytes_before_and_behind_it(name: str, value: str) -> None:
    form, text, _, section = FILES[name]
    changed = form.set(text, "newKey", value, section)
    assert form.get(changed, "newKey", section) == value
    [added] = [line for line in changed.splitlines(True) if line.startswith("newKey")]
    assert changed.replace(added, "", 1) == text


@pytest.mark.parametrize("name", FILES)
def test_the_same_value_changes_nothing(name: str) -> None:
    form, text, key, section = FILES[name]
    value = form.get(text, key, section)
    assert value is not None
    assert form.set(text, key, value, section) == text or name == "vm.conf"


# The archive.


def archive(contents: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in MEMBERS:
            member = tarfile.TarInfo(name)
            member.size = len(contents[name])
            member.mtime, member.uid, member.gid, member.mode = 1700000000, 36, 36, 0o640
            tar.addfile(member, io.BytesIO(contents[name]))
    return made.getvalue()[:ARCHIVE_BYTES].ljust(ARCHIVE_BYTES, b"\0")


contents = st.fixed_dictionaries({name: st.binary(max_size=1500) for name in MEMBERS})


@given(contents, st.sampled_from(MEMBERS), st.binary(max_size=1500))
def test_a_file_of_the_archive_changes_alone(
    before: dict[str, bytes], name: str, content: bytes
) -> None:
    data = archive(before)
    changed = with_member(data, name, content)
    assert len(changed) == ARCHIVE_BYTES
    assert dict(read_archive(changed)) == {**before, name: content}
    # And back: every byte is as it was, the headers too.
    assert with_member(changed, name, before[name]) == data


def test_what_does_not_fit_the_archive_is_refused() -> None:
    data = archive(dict.fromkeys(MEMBERS, b""))
    with pytest.raises(ConfigError, match="does not fit"):
        with_member(data, "vm.conf", bytes(ARCHIVE_BYTES))


# answers.conf

answers = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text("abc:=, ", max_size=8).map(str.strip),
    st.lists(st.text("abc", min_size=1), min_size=2, max_size=3),
)


def test_answers_have_types_and_the_more_binding_one_counts() -> None:
    assert answers_of(ANSWERS_CONF) == {
        "OVEHOSTED_CORE/screenProceed": None,
        "OVEHOSTED_NETWORK/fqdn": "engine.example.com",
        "OVEHOSTED_NETWORK/gateway": "192.0.2.1",
        "OVEHOSTED_VM/automateVMShutdown": True,
        "OVEHOSTED_VM/vmMemSizeMB": 16384,
        "OVEHOSTED_VM/cloudinitVMETCHOSTS": ["192.0.2.1 one", "192.0.2.2 two"],
        "OVEHOSTED_VM/vmVCpus": "4",
    }
    both = "[environment:enforce]\nA/x=int:2\n[environment:default]\nA/x=int:1\n"
    assert answers_of(both) == {"A/x": 2}


@pytest.mark.parametrize(
    ("text", "is_true"), [("f", False), ("False", False), ("0", True), ("no", True)]
)
def test_a_flag_is_what_otopi_takes_it_for(text: str, is_true: bool) -> None:
    assert answers_of(f"[environment:default]\nA/x=bool:{text}\n") == {"A/x": is_true}


@given(answers)
def test_an_answer_is_read_as_it_was_written(answer: Answer) -> None:
    text = with_answer(ANSWERS_CONF, "OVEHOSTED_NETWORK/gateway", answer)
    assert answers_of(text) == {**answers_of(ANSWERS_CONF), "OVEHOSTED_NETWORK/gateway": answer}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("engine", "answers.conf:2: A/x: expected TYPE:VALUE"),
        ("float:1", "expected one of the types none, bool, int, str, multi-str; got 'float'"),
        ("int:two", "expected a number after int:, got 'two'"),
    ],
)
def test_what_is_no_answer_is_refused(value: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        answers_of(f"[environment:default]\nA/x={value}\n")


# vm.conf


def test_a_vm_of_2013_is_read_value_by_value() -> None:
    assert params_of(VM_CONF) == {
        "vmId": "11111111-2222-4333-8444-555555555555",
        "memSize": "4096",
        "devices": [
            {
                "index": "2",
                "iface": "ide",
                "specParams": {},
                "address": {"controller": "0", "type": "drive"},
            },
            {"device": "scsi", "model": "virtio-scsi"},
        ],
        "custom": {"sap": "false"},
        "display": "vnc",
    }


def test_keys_that_stand_for_others() -> None:
    text = (
        "vt=true\nimageFile=/a\nmoreImages=/b,/c\ncdrom=domain:1,pool:2,path:x\ncpuPinning={0:1}\n"
    )
    assert params_of(text) == {
        "vt": "true",
        "kvmEnable": "true",
        "imageFile": "/a",
        "hda": "/a",
        "moreImages": "/b,/c",
        "hdb": "/b",
        "hdc": "/c",
        "cdrom": {"domainID": "1", "poolID": "2", "path": "x"},
        "cpuPinning": {"0": "1"},
    }


XML = (
    '<domain xmlns:ovirt-vm="http://ovirt.org/vm/1.0" type="kvm"><metadata><ovirt-vm:vm>'
    "<ovirt-vm:launchPaused>false</ovirt-vm:launchPaused></ovirt-vm:vm></metadata></domain>"
)


def with_xml(xml: str) -> str:
    return f"{VM_CONF}xmlBase64={base64.b64encode(xml.encode()).decode()}\n"


def test_a_vm_of_today_is_its_xml_alone() -> None:
    assert params_of(with_xml(XML)) == {"xml": XML}
    paused = params_of(with_xml(XML), paused=True)["xml"]
    assert paused == XML.replace(">false<", ">true<")
    missing = XML.replace("<ovirt-vm:launchPaused>false</ovirt-vm:launchPaused>", "")
    assert params_of(with_xml(missing), paused=True)["xml"] == paused


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("devices={a:1", "devices: a closing brace is missing"),
        ("devices={a}", "devices: expected NAME:VALUE"),
        ("devices={a:1}}", "devices: expected nothing behind the last brace"),
        ("xmlBase64=%%%", "xmlBase64: expected a text in base 64"),
    ],
)
def test_a_vm_that_can_not_be_read_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        params_of(text)


specs = st.recursive(
    st.dictionaries(st.text("abc", min_size=1), st.text("xyz:0", max_size=4), max_size=3),
    lambda inner: st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=5,
)


def written(spec: Any) -> str:
    if not isinstance(spec, dict):
        return str(spec)
    return "{" + ",".join(f"{key}:{written(value)}" for key, value in spec.items()) + "}"


@given(specs)
def test_a_spec_is_read_as_it_was_written(spec: dict[str, Any]) -> None:
    assert spec_of(written(spec), "devices") == spec


# The storage's connection: releases differ in what says which NFS it is.

NFS = {"domainType": "nfs", "storage": "server:/path", "connectionUUID": "c"}


@pytest.mark.parametrize(
    ("values", "version"),
    [
        ({}, "auto"),
        ({"nfs_version": "v4_1"}, "4.1"),
        ({"domainType": "nfs3"}, "3"),
        ({"domainType": "nfs4", "nfs_version": "v3"}, "4"),
    ],
)
def test_the_version_of_nfs_is_by_the_releases_own_key(
    values: dict[str, str], version: str
) -> None:
    connection = connection_of({**NFS, **values})
    assert connection.params == {
        "storagepoolID": "00000000-0000-0000-0000-000000000000",
        "domainType": 1,
        "connectionParams": [
            {"connection": "server:/path", "user": "kvm", "id": "c", "protocol_version": version}
        ],
    }


def test_iscsi_has_one_connection_for_each_path() -> None:
    values = {
        "domainType": "iscsi",
        "storage": "192.0.2.1,192.0.2.2",
        "iqn": "iqn.2026-01.com.example:engine",
        "portal": "1,2",
        "user": "u",
        "password": "p",
        "port": "3260",
    }
    assert [(each["connection"], each["tpgt"]) for each in connection_of(values).servers] == [
        ("192.0.2.1", "1"),
        ("192.0.2.2", "2"),
    ]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, "domainType is missing"),
        ({"domainType": "smb"}, "domainType: expected one of nfs, nfs3"),
        ({"domainType": "nfs"}, "storage is missing"),
        ({**NFS, "nfs_version": "5"}, "nfs_version: expected one of auto, v3"),
        (
            {"domainType": "iscsi", "storage": "a,b", "iqn": "x", "port": "1,2,3"},
            "port: expected one",
        ),
    ],
)
def test_a_storage_that_can_not_be_connected_is_said(values: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        connection_of(values)


def test_fibre_channel_needs_no_connection() -> None:
    assert connection_of({"domainType": "fc"}).params["connectionParams"] == []
