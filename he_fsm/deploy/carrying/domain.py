"""The VM as a domain of libvirt: defined here, and its definition on the storage."""

from __future__ import annotations

from pathlib import Path

from he_fsm.deploy.carrying.course import Course
from he_fsm.deploy.planning.domain import domain_xml, own_domain_xml
from he_fsm.errors import DeployError, HeFsmError, cause_of
from he_fsm.runtime import registry
from he_fsm.runtime.hypervisors.libvirt.definition import publishing
from he_fsm.runtime.hypervisors.libvirt.section import LibvirtConfig
from he_fsm.runtime.kinds import LeaseKind

_ANSWER_S = 30.0


def xml_of(course: Course, *, is_installing: bool) -> str:
    """Return the definition, with the install medium or without it."""
    kind: LeaseKind = registry.load(registry.LEASES, course.config.leases)
    if kind.sight is None:
        msg = f"leases: {course.config.leases} are none that libvirt takes"
        raise DeployError(msg)
    place = kind.sight(course.config).place
    if course.values.get("domain"):
        return own_domain_xml(_read(Path(str(course.values["domain"]))), course.values, place)
    medium = ""
    if is_installing:
        medium = str(course.values.get("cdrom") or "")
        if course.values.get("cloud_init"):
            medium = course.own.seed
    return domain_xml(
        course.values,
        course.places.disk,
        place,
        accel=course.fitness.accel,
        medium=medium,
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"--domain: {path} can't be read: {cause_of(error)}"
        raise DeployError(msg) from error


def define(course: Course) -> None:
    """
    Define the domain here; on the first host also for all others.

    Raises:
        DeployError: libvirt does not take it, or knows another domain of its name.
    """
    section: LibvirtConfig = course.config.hypervisor
    if course.is_first:
        xml = xml_of(course, is_installing=True)
    elif section.definition is None:
        xml = course.told.domain
    else:
        xml = publishing.published(section).text
    from he_fsm.runtime.hypervisors.libvirt.connection import Connection  # noqa: PLC0415 - optional

    try:
        connection = Connection.opened(section.uri, _ANSWER_S)
        try:
            if connection.domain(section.domain) is not None:
                msg = (
                    f"libvirt has a domain {section.domain} here already: virsh undefine"
                    f" {section.domain}, if nobody needs it"
                )
                raise DeployError(msg)
            course.journal.will("domain", uri=section.uri, name=section.domain)
            connection.define(xml)
        finally:
            connection.close()
        if course.is_first and section.definition is not None:
            course.journal.will("file", path=str(section.definition))
            publishing.publish(section, xml, course.gid)
    except DeployError:
        raise
    except HeFsmError as error:
        msg = f"the domain can't be defined: {error}"
        raise DeployError(msg) from error


def finish(course: Course) -> None:
    """Write the definition without its medium, here and for all hosts."""
    section: LibvirtConfig = course.config.hypervisor
    course.domain_xml = xml_of(course, is_installing=False)
    from he_fsm.runtime.hypervisors.libvirt.connection import Connection  # noqa: PLC0415 - optional

    connection = Connection.opened(section.uri, _ANSWER_S)
    try:
        connection.define(course.domain_xml)
    finally:
        connection.close()
    if section.definition is not None and Path(section.definition).exists():
        publishing.publish(section, course.domain_xml, course.gid)
    else:
        course.told = course.told.with_domain(course.domain_xml)
