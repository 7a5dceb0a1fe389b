"""The VM as a domain of real libvirt daemons: defined, undone, and deployed to a failover."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from he_fsm.deploy.carrying import domain
from he_fsm.deploy.carrying.course import Course
from he_fsm.deploy.carrying.journal import Journal
from he_fsm.deploy.carrying.run import FIRST, carry_out, undone
from he_fsm.deploy.carrying.undo import undo
from he_fsm.deploy.planning.stages import Stage
from he_fsm.errors import DeployError
from he_fsm.lab.libvirt.daemon import LibvirtProcess
from he_fsm.lab.libvirt.domain import domain_xml as lab_domain_xml
from he_fsm.runtime.hypervisors.libvirt.access import LibvirtVm
from he_fsm.runtime.hypervisors.libvirt.definition import publishing
from he_fsm.runtime.hypervisors.libvirt.definition.reading import read
from he_fsm.runtime.hypervisors.libvirt.section import LibvirtConfig
from he_fsm.testing.waiting import until
from tests.runtime.deploy.deploying import DeployedHost
from tests.runtime.deploy.test_edges import course_of
from tests.runtime.deploy.test_real import RealSite, answers, further
from tests.runtime.hypervisors.libvirt.libvirt_hosts import NEEDS_LIBVIRT
from tests.runtime.hypervisors.qemu.qemu_hosts import short_folder

pytestmark = [*NEEDS_LIBVIRT, pytest.mark.long]
# Source: libvirt, drvqemu.html, "Pass-through of arbitrary qemu commands".
QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"


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


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_deployment_that_ends_when_the_domain_is_defined(course: Course, is_killed: bool) -> None:
    """It fails, or it was killed and another process reads its journal; then it succeeds."""

    def fail(course: Course) -> None:
        domain.define(course)
        msg = "it fails at its end"
        raise DeployError(msg)

    if is_killed:
        domain.define(course)
        assert undone(Journal.left(course.journal.path)) == []
        course.journal.entries.clear()
    else:
        with pytest.raises(DeployError, match="Nothing is left of this deployment"):
            carry_out(course, [Stage("domain", "Configuring VM", ())], {"domain": fail})
    assert known(course) is None
    assert not Path(course.places.definition).exists()
    carry_out(course, [Stage("domain", "Configuring VM", ())], FIRST)
    assert known(course) is not None


class LibvirtSite(RealSite):
    """Hosts that have a libvirt daemon each, beside their sanlock daemon."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.libvirt: dict[str, LibvirtProcess] = {}

    def daemon(self, folder: Path) -> LibvirtProcess:
        """Return the libvirt daemon of a host's folder."""
        if str(folder) not in self.libvirt:
            folder.mkdir(exist_ok=True)
            self.libvirt[str(folder)] = LibvirtProcess(folder / "libvirt", folder / "sanlock")
        return self.libvirt[str(folder)]

    def settings(self, folder: Path) -> dict[str, Any]:
        """Return the daemon's places in place of a VM."""
        plain = super().settings(folder)
        daemon = self.daemon(folder)
        places = {"pid_dir": str(daemon.pid_dir), "driver_conf": str(daemon.driver_conf)}
        return {**plain, "hypervisor": {"uri": daemon.uri, **places}}

    def power_on(self, host: DeployedHost) -> None:
        """Start both daemons."""
        super().power_on(host)
        self.daemon(host.folder).start()

    def power_off(self, host: DeployedHost) -> None:
        """End all at once, the domain's process too, which outlives its daemon."""
        self._kill_vm(host.folder)
        super().power_off(host)
        self._kill_vm(host.folder)

    def _kill_vm(self, folder: Path) -> None:
        access = LibvirtVm(folder, LibvirtConfig(pid_dir=self.daemon(folder).pid_dir))
        vm = access.identity()
        if vm is not None:
            access.kill_now(vm)

    def xml(self) -> Path:
        """Write the guest's definition: its kernel, and a network of QEMU's own."""
        root = ET.fromstring(lab_domain_xml(self.guest, self.shared / "engine.raw", None))
        devices, line = root.find("devices"), root.find("os/cmdline")
        assert devices is not None
        assert line is not None
        line.text = self.guest.append
        for card in (*devices.findall("interface"), *devices.findall("watchdog")):
            devices.remove(card)
        command = ET.SubElement(root, f"{{{QEMU}}}commandline")
        forward = f"user,id=n0,hostfwd=tcp:127.0.0.1:{self.port}-:80"
        for word in ("-netdev", forward, "-device", "virtio-net-pci,netdev=n0,romfile=,addr=0x10"):
            ET.SubElement(command, f"{{{QEMU}}}arg", value=word)
        path = self.folder / "guest.xml"
        path.write_text(ET.tostring(root, encoding="unicode"), encoding="utf-8")
        return path

    def tear_down(self) -> None:
        """End the daemons of libvirt and their domains, too."""
        for folder in self.libvirt:
            self._kill_vm(Path(folder))
        super().tear_down()
        for daemon in self.libvirt.values():
            daemon.close()


def test_two_hosts_with_libvirt_from_an_empty_directory() -> None:
    """The domain takes its lease by libvirt's own plug-in; the other host takes over."""
    with short_folder() as folder:
        site = LibvirtSite(folder)
        try:
            first, second = (site.host(number) for number in (1, 2))
            for host in (first, second):
                site.power_on(host)
            words = ["--hypervisor", "libvirt", "--domain", str(site.xml()), "--peers", ""]
            done = site.run([*answers(site, first), *words])
            assert (done.returncode, done.stderr) == (0, ""), done.stdout
            first.start()
            assert site.engine_is_up() is first
            joined = site.run(further(site, second))
            assert (joined.returncode, joined.stderr) == (0, ""), joined.stdout
            second.start()
            until(lambda: second.report().get("alive") == [1, 2], within_s=60.0)
            site.power_off(first)
            assert site.engine_is_up() is second
        finally:
            site.tear_down()
