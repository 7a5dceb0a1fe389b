"""The VM as a domain, defined and undone on a real libvirt daemon; it is not started here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from he_fsm.deploy.carrying import domain
from he_fsm.deploy.carrying.course import Course
from he_fsm.deploy.carrying.undo import undo
from he_fsm.errors import DeployError
from he_fsm.lab.libvirt.daemon import LibvirtProcess
from he_fsm.runtime.hypervisors.libvirt.definition import publishing
from he_fsm.runtime.hypervisors.libvirt.definition.reading import read
from tests.runtime.deploy.test_edges import course_of
from tests.runtime.hypervisors.libvirt.libvirt_hosts import NEEDS_LIBVIRT
from tests.runtime.hypervisors.qemu.qemu_hosts import short_folder

pytestmark = [*NEEDS_LIBVIRT, pytest.mark.long]


@pytest.fixture
def course() -> Iterator[Course]:
    """A first host whose libvirt daemon is one of its own; its VM is installed from a medium."""
    with short_folder() as folder:
        (folder / "sanlock").mkdir()
        daemon = LibvirtProcess(folder / "libvirt", folder / "sanlock")
        daemon.start()
        try:
            shared = folder / "shared"
            shared.mkdir()
            medium = folder / "install.iso"
            medium.touch()
            yield course_of(
                folder,
                {"hypervisor": {"uri": daemon.uri}},
                hypervisor="libvirt",
                storage=str(shared),
                cdrom=str(medium),
            )
        finally:
            daemon.close()


def known(course: Course) -> Any:
    from he_fsm.runtime.hypervisors.libvirt.connection import Connection

    connection = Connection.opened(course.config.hypervisor.uri, 10.0)
    try:
        found = connection.domain("HostedEngine")
        return None if found is None else connection.xml(found, is_live=False)
    finally:
        connection.close()


def test_the_domain_is_defined_with_its_medium_and_then_without(course: Course) -> None:
    medium = str(course.values["cdrom"])
    domain.define(course)
    assert medium in known(course)
    with pytest.raises(DeployError, match="libvirt has a domain HostedEngine here already"):
        domain.define(course)
    domain.finish(course)
    final = known(course)
    assert medium not in final
    assert read(final).uuid == course.values["vm_id"]
    assert publishing.published(course.config.hypervisor).text == course.domain_xml


def test_the_domain_is_undone(course: Course) -> None:
    domain.define(course)
    assert course.journal.undo(undo) == []
    assert known(course) is None
    assert not Path(course.places.definition).exists()
    assert course.journal.undo(undo) == []
