"""Putting a domain's definition on the shared storage, for a person who does it on one host."""

from __future__ import annotations

import time
from typing import Final, Optional

from he_fsm.errors import ConfigError, HypervisorError
from he_fsm.metadata.definition import Document
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.hypervisors.libvirt.definition import shared
from he_fsm.runtime.hypervisors.libvirt.definition.findings import lease_findings, mended_by
from he_fsm.runtime.hypervisors.libvirt.definition.reading import read
from he_fsm.runtime.hypervisors.libvirt.section import LibvirtConfig
from he_fsm.runtime.ports import Finding, LeasePlace
from he_fsm.runtime.storage.set_up import give

# A person waits for a daemon that is busy (seconds).
_ANSWER_S: Final = 10.0


def section_of(config: Config) -> LibvirtConfig:
    """
    Return the section of a configuration whose hosts share a definition.

    Raises:
        ConfigError: its hypervisor is another one, or it names no place for a definition.
    """
    section = config.hypervisor
    if not isinstance(section, LibvirtConfig):
        msg = f"the hypervisor is {section.kind}: only domains of libvirt have a shared definition"
        raise ConfigError(msg)
    if section.definition is None:
        msg = (
            "hypervisor.definition is not set: name a file on the shared storage there, the same "
            "on every host"
        )
        raise ConfigError(msg)
    return section


def published(section: LibvirtConfig) -> Document:
    """
    Return the definition on the storage.

    Raises:
        ConfigError, StorageError, DefinitionError: there is none, or it can't be read.
    """
    document = last(section)
    if document is None:
        msg = f"{section.definition} holds no definition yet: he-fsm vm define FILE.xml"
        raise ConfigError(msg)
    return document


def last(section: LibvirtConfig) -> Optional[Document]:
    """Return the definition on the storage, as `published`; None: there is none yet."""
    assert section.definition is not None  # noqa: S101 - `section_of` has seen to that
    return shared.read(section.definition) if section.definition.exists() else None


def of_domain(section: LibvirtConfig, name: str) -> str:
    """
    Return the definition that this host's libvirt has of a domain, without its passwords.

    Raises:
        HypervisorError: libvirt does not answer, or knows no such domain.
    """
    from he_fsm.runtime.hypervisors.libvirt.connection import Connection  # noqa: PLC0415 - optional

    connection = Connection.opened(section.uri, _ANSWER_S)
    try:
        domain = connection.domain(name)
        if domain is None:
            msg = f"libvirt knows no domain {name} on this host"
            raise HypervisorError(msg)
        return connection.xml(domain, is_live=False)
    finally:
        connection.close()


def faults_of(section: LibvirtConfig, xml: str, place: LeasePlace) -> tuple[Finding, ...]:
    """
    Return why no host would start the domain by this definition.

    Raises:
        HypervisorError: it is no definition of a domain.
    """
    found = read(xml)
    if found.name != section.domain:
        what = f"the definition is that of the domain {found.name}, not {section.domain}"
        mend = f"<name>{section.domain}</name>, or hypervisor.domain: {found.name} on every host"
        return (Finding(what=what, mend=mend),)
    if not found.uuid:
        what = "the definition has no <uuid>: each host would give the domain another one"
        return (Finding(what=what, mend="an element <uuid> with what uuidgen prints"),)
    fatal = [
        each for each in lease_findings(found, place, is_plugin=section.is_plugin) if each.is_fatal
    ]
    return mended_by(fatal, found.name, "change the definition")


def publish(section: LibvirtConfig, xml: str, gid: Optional[int] = None) -> Document:
    """
    Write a definition for all hosts, as the next version, and return it.

    *gid*: the group of the daemons, for a file that is made here.

    Raises:
        StorageError, DefinitionError: it can't be written, or is too long.
    """
    path = section.definition
    assert path is not None  # noqa: S101 - `section_of` has seen to that
    is_new = not path.exists()
    document = shared.write(path, xml, time.time())
    if is_new:
        give((path,), gid)
    return document
