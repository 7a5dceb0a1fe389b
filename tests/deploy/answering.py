"""Answers, and a machine to answer for, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

import attrs

from he_fsm.deploy.asking.answers import Given, settle
from he_fsm.deploy.asking.question import Look, Machine, Question, Section
from he_fsm.deploy.asking.readers import Value

MACHINE = Machine(
    hypervisors=("qemu",),
    interfaces=("eth0", "ovirtmgmt"),
    bridges=("ovirtmgmt",),
    nics=("eth0",),
    mac="52:54:00:12:34:56",
    vm_id="9f6b3a52-5f2b-4d0c-9d57-0d8f2f6a1b3c",
    hostname="host1.example.com",
    cpu="Westmere",
    emulated="pc-q35-7.2",
)
# Passwords that a test looks for where they must not be.
SECRETS = {"root_password": "root-Geheimnis", "admin_password": "admin-Geheimnis"}
ANSWERS = {
    "hypervisor": "qemu",
    "storage_type": "directory",
    "storage": "/srv/shared",
    "gateway": "192.0.2.1",
    "boot": "cdrom",
    "cdrom": "/srv/install.iso",
    "fqdn": "engine.example.com",
}


@attrs.define
class Around:
    """Knows what is wrong with some answers; implements `Surroundings`."""

    problems: Mapping[str, str] = attrs.field(factory=dict)

    def problem(self, look: Look, value: Value) -> str:
        del look
        return self.problems.get(str(value), "")


@attrs.define
class Person:
    """Answers from a list, and keeps what was asked and said; implements `Asker`."""

    answers: list[Optional[str]] = attrs.field(factory=list)
    asked: list[str] = attrs.field(factory=list)
    complaints: list[str] = attrs.field(factory=list)
    headings: list[str] = attrs.field(factory=list)

    def heading(self, section: Section) -> None:
        self.headings.append(section.value)

    def ask(self, question: Question, words: str) -> Optional[str]:
        del question
        if not self.answers:
            return None
        self.asked.append(words)
        return self.answers.pop(0)

    def complain(self, message: str) -> None:
        self.complaints.append(message)


def settled(machine: Machine = MACHINE, **answers: str) -> dict[str, Value]:
    """Return all answers, with these instead of the usual ones; nobody is asked."""
    given = {key: Given(text, "test") for key, text in {**ANSWERS, **answers}.items() if text}
    return settle(given, machine, Around(), Person())
