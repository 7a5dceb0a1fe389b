"""oVirt's own files, as a deployment leaves them: answers.conf, hosted-engine.conf, vm.conf."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Final, Optional

from he_fsm.deploy.asking.answers import Given, text_of
from he_fsm.deploy.asking.question import Question, Values
from he_fsm.deploy.asking.questions import QUESTIONS
from he_fsm.deploy.planning.places import Own
from he_fsm.document.lossless import SHELL
from he_fsm.errors import AnswerError
from he_fsm.runtime.config.ovirt.answers import DEFAULT, answers_of, with_answer

# What oVirt never asks stands under a prefix of its own; otopi takes no notice of it.
_OWN_PREFIX: Final = "HE_FSM"
_FIREWALL: Final = "OVEHOSTED_NETWORK/firewallManager"
# These are each host's own: further hosts are not told them.
_OF_ONE_HOST: Final = ("host_id", "hostname", "host_name", "bridge_nic", "ssh_port")
_NO_POOL: Final = "00000000-0000-0000-0000-000000000000"
PROCEED: Final = {
    "OVEHOSTED_CORE/deployProceed": "deploy_proceed",
    "OVEHOSTED_CORE/screenProceed": "screen_proceed",
    "OVEHOSTED_CORE/confirmSettings": "confirm_settings",
}


def key_of(question: Question) -> str:
    """Return what `answers.conf` calls a question."""
    return question.ovirt or f"{_OWN_PREFIX}/{question.key}"


def answers_conf(values: Values, *, of_one_host: bool = False) -> str:
    """
    Return the answers as oVirt's file, without passwords.

    *of_one_host*: also what is one host's own, which no other host must take.

    Raises:
        AnswerError: an answer can't stand in such a file.
    """
    left_out = () if of_one_host else _OF_ONE_HOST
    text = f"[{DEFAULT}]\n"
    for key, question in sorted((key_of(each), each) for each in QUESTIONS):
        if question.key not in values or question.is_secret or question.key in left_out:
            continue
        text = with_answer(text, key, values[question.key])
    if "firewall" in values:
        text = with_answer(text, _FIREWALL, "firewalld" if values["firewall"] else "iptables")
    return text


def is_own_answers(text: str) -> bool:
    """Whether this `answers.conf` is he_fsm's: oVirt's own has none of these keys."""
    return f"\n{_OWN_PREFIX}/" in text


def given_of(text: str, path: str) -> tuple[dict[str, Given], dict[str, bool]]:
    """
    Return the answers of a file by the questions' keys, and what it says to the confirmations.

    *path* is for messages; what means nothing here is left out.

    Raises:
        ConfigError: a line can't be read.
    """
    found = answers_of(text, path)
    given = {}
    for question in QUESTIONS:
        value = found.get(key_of(question))
        if value is None or (value == "" and not question.is_optional):
            continue
        said = "\n".join(value) if isinstance(value, list) else text_of(value)
        given[question.key] = Given(said, f"{path}: {key_of(question)}")
    manager = found.get(_FIREWALL)
    if manager is not None and "firewall" not in given:
        given["firewall"] = Given("Yes" if manager == "firewalld" else "No", f"{path}: {_FIREWALL}")
    proceeds = {name: found[key] is True for key, name in PROCEED.items() if key in found}
    return given, proceeds


def has_secret(given: Mapping[str, Given]) -> bool:
    """Whether answers of a file have a password among them: then the file has to be private."""
    return any(question.is_secret and question.key in given for question in QUESTIONS)


def hosted_engine_conf(values: Values, own: Own, host_id: int) -> str:
    """
    Return what oVirt's agents, and scripts, read of this host.

    Raises:
        AnswerError: a value can't stand in a file that a shell reads.
    """
    text = ""
    for key, value in _deployment(values, own, host_id):
        try:
            text = SHELL.set(text, key, value)
        except ValueError as error:
            msg = f"{value!r} can't be written as {key} of hosted-engine.conf: take other names"
            raise AnswerError(msg) from error
    return text


def _deployment(values: Values, own: Own, host_id: int) -> Iterator[tuple[str, str]]:
    vm_id = str(values["vm_id"])
    domain = str(uuid.uuid5(uuid.UUID(vm_id), "storage domain"))
    if "fqdn" in values:
        yield "fqdn", str(values["fqdn"])
    yield from (("vmid", vm_id), ("host_id", str(host_id)))
    yield "storage", str(values.get("storage") or values.get("lun", ""))
    yield "domainType", str(values["storage_type"])
    yield "conf", str(PurePosixPath(own.ovirt_dir) / "vm.conf")
    yield from (("configured", "True"), ("spUUID", _NO_POOL), ("sdUUID", domain))
    yield from (("gateway", str(values["gateway"])), ("network_test", "ping"))
    yield "vdsm_use_ssl", "true"
    for key, name in (("bridge", "bridge"), ("console", "console")):
        if name in values:
            yield key, str(values[name])
    if values.get("mount_options"):
        yield "mnt_options", str(values["mount_options"])
    if values["storage_type"] == "iscsi":
        yield from (("iqn", str(values["iscsi_target"])), ("port", str(values["iscsi_port"])))


def vm_conf(values: Values, disk: str, xml: Optional[str] = None) -> str:
    """
    Return the VM as oVirt's start command reads it.

    *xml*: its definition as a domain of libvirt, where it is one.
    """
    lines = [f"vmId={values['vm_id']}", "vmName=HostedEngine"]
    for key, name in (
        ("memSize", "memory_mb"),
        *(("display", "console"), ("cpuType", "cpu_model"), ("emulatedMachine", "emulated")),
        ("smp", "cpus"),
    ):
        if values.get(name):
            lines.append(f"{key}={values[name]}")
    if disk:
        lines.append(
            "devices={device:disk,type:disk,iface:virtio,format:raw,index:0,shared:exclusive,"
            f"propagateErrors:off,bootOrder:1,readonly:false,path:{disk}}}"
        )
    if "mac" in values:
        lines.append(
            "devices={device:bridge,type:interface,nicModel:pv,linkActive:true,"
            f"network:{values['bridge']},macAddr:{values['mac']}}}"
        )
    if xml is not None:
        lines.append(f"xmlBase64={base64.b64encode(xml.encode()).decode()}")
    return "\n".join(lines) + "\n"
