"""All hosts start the domain by one definition on the shared storage."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_fsm.lab.libvirt.domain import NAME
from he_fsm.metadata.definition import HEADER_BYTES
from he_fsm.runtime.hypervisors.libvirt.definition import publishing, shared
from he_fsm.snapshot import Outcome, VmState
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.libvirt.libvirt_hosts import NEEDS_LIBVIRT, LibvirtHosts

pytestmark = NEEDS_LIBVIRT


@pytest.fixture
def storage(hosts: LibvirtHosts, tmp_path: Path) -> Path:
    """Return the place of the definition, which both hosts know and nothing stands at yet."""
    path = tmp_path / "definition"
    for host_id in hosts.ids:
        hosts.change(host_id, definition=path)
    return path


def publish(hosts: LibvirtHosts, path: Path) -> int:
    return shared.write(path, hosts.lab.xml(), 1_800_000_000.0).version


def renewed(hosts: LibvirtHosts, host_id: int, version: int) -> None:
    """Have the next agent of a host read the storage."""
    hosts.restart_agent(host_id)
    until(lambda: hosts.hypervisor(host_id).observe().definition == version)


def refused(hosts: LibvirtHosts, host_id: int) -> str:
    hosts.hypervisor(host_id).start()
    until(lambda: hosts.state(host_id) is VmState.ABSENT and hosts.told[host_id])
    (result,) = hosts.told[host_id]
    assert result.outcome is Outcome.START_FAILED
    assert hosts.access(host_id).identity() is None
    hosts.told[host_id].clear()
    return result.detail


def test_a_host_that_knows_no_domain_starts_it_by_the_shared_definition(
    hosts: LibvirtHosts, storage: Path
) -> None:
    version = publish(hosts, storage)
    hosts.by_hand(2, "undefine")
    hosts.start(2)
    assert hosts.hypervisor(2).observe().definition == version


def test_what_somebody_changed_on_one_host_is_as_it_was_at_the_next_start(
    hosts: LibvirtHosts, storage: Path
) -> None:
    publish(hosts, storage)
    hosts.lab.define(1, hosts.lab.xml().replace("<vcpu>1</vcpu>", "<vcpu>2</vcpu>"))
    hosts.start(1)
    with hosts.lab.domain(1) as connection:
        assert "<vcpu placement='static'>1</vcpu>" in connection.xml(
            connection.domain(NAME), is_live=True
        )


def test_a_storage_that_is_away_leaves_the_copy_of_the_host(
    hosts: LibvirtHosts, storage: Path
) -> None:
    version = publish(hosts, storage)
    renewed(hosts, 1, version)
    storage.rename(storage.with_name("away"))
    hosts.by_hand(1, "undefine")
    hosts.restart_agent(1)
    hosts.start(1)
    assert hosts.hypervisor(1).observe().definition == version


def test_nothing_starts_by_a_definition_that_differs_from_its_checksum(
    hosts: LibvirtHosts, storage: Path
) -> None:
    publish(hosts, storage)
    with storage.open("r+b") as file:
        file.seek(HEADER_BYTES + 5)
        file.write(b"X")
    hosts.restart_agent(1)
    assert "holds no definition of the domain" in refused(hosts, 1)


def test_nothing_starts_before_a_definition_was_written(hosts: LibvirtHosts, storage: Path) -> None:
    storage.write_bytes(bytes(2 << 20))
    said = refused(hosts, 1)
    assert said.endswith(f"he-fsm vm define --from-domain {NAME}")


def test_a_definition_without_the_lease_starts_nothing(hosts: LibvirtHosts, storage: Path) -> None:
    xml = hosts.lab.xml()
    begin, end = xml.index("<lease>"), xml.index("</lease>") + len("</lease>")
    shared.write(storage, xml[:begin] + xml[end:], 1_800_000_000.0)
    assert "has no <lease>" in refused(hosts, 1)


def test_the_definition_of_a_domain_is_published_as_libvirt_has_it(
    hosts: LibvirtHosts,
    storage: Path,  # noqa: ARG001 - the hosts' configurations name it
) -> None:
    section = hosts.configs[1]
    xml = publishing.of_domain(section, NAME)
    place = hosts.lab.place()
    assert publishing.faults_of(section, xml, place) == ()
    version = publishing.publish(section, xml).version
    renewed(hosts, 2, version)
    hosts.start(2)
    assert hosts.reaches(2, VmState.UP) is None
