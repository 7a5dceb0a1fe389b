"""What follows from the answers: files, stages, who may join."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.deploy.carrying.run import FIRST, FURTHER
from he_fsm.deploy.planning.config import as_yaml, config_of, installing, merged
from he_fsm.deploy.planning.domain import domain_xml, own_domain_xml
from he_fsm.deploy.planning.joining import Applicant, HostIds, common, refusals
from he_fsm.deploy.planning.ovirt_files import hosted_engine_conf, vm_conf
from he_fsm.deploy.planning.places import Own, places_of
from he_fsm.deploy.planning.seed import seed_files
from he_fsm.deploy.planning.stages import Outline, first_host, further_host
from he_fsm.deploy.planning.told import Fitness, Told, from_text, to_text
from he_fsm.errors import AnswerError, DeployError
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.runtime.config import Config, parse_config
from he_fsm.runtime.config.ovirt.connection import connection_of
from he_fsm.runtime.config.ovirt.vm_conf import params_of
from he_fsm.runtime.hypervisors.libvirt.definition.findings import Circumstances, findings
from he_fsm.runtime.hypervisors.libvirt.definition.reading import read
from he_fsm.runtime.ports import LeasePlace
from tests.deploy.answering import MACHINE, SECRETS, settled

OWN = Own(config="/etc/he-fsm-test/he-fsm.yaml", ovirt_dir="/nowhere/ovirt")
HOST = {"id": 1, "hostname": "host1.example.com"}
ROOT = {"name": "root", "password": SECRETS["root_password"], "type": "text"}
STORAGES = {
    "directory": {"storage": "/srv/shared"},
    "nfs": {"storage": "filer:/export"},
    "glusterfs": {"storage": "filer:/volume"},
    "block": {"storage": "/dev/sdb", "vm_device": "/dev/sdc"},
    "iscsi": {
        "storage": "192.0.2.5",
        "iscsi_target": "iqn.2026-11.com.example:e",
        "lun": "3600a",
        "vm_lun": "3600b",
    },
    "fc": {"storage": "", "lun": "3600a", "vm_lun": "3600b"},
}


def plain_of(**answers: str) -> dict[str, Any]:
    values = settled(**answers)
    return config_of(values, places_of(values, OWN.state_dir), OWN, HOST)


def config(plain: dict[str, Any]) -> Config:
    return parse_config(as_yaml(plain), OWN.config, Path(OWN.config).parent)


@pytest.mark.parametrize("kind", STORAGES)
@pytest.mark.parametrize("hypervisor", ["qemu", "libvirt"])
def test_the_configuration_can_be_used(kind: str, hypervisor: str) -> None:
    plain = plain_of(storage_type=kind, hypervisor=hypervisor, **STORAGES[kind])
    found = config(plain)
    assert found.policy.name == "talk"
    assert found.health_url == "http://engine.example.com/ovirt-engine/services/health"
    assert found.monitors.network.address == "192.0.2.1"
    assert (found.storage.offset > 0) == (kind in ("block", "iscsi", "fc"))


SERVICES = {
    "command": {"run": "/usr/bin/db --name 'a b'", "stop_by": "SIGINT", "run_directory": "/srv"},
    "systemd": {"unit": "db.service"},
}


@pytest.mark.parametrize("well", ["http://192.0.2.9/", "/usr/bin/is-well -q"])
@pytest.mark.parametrize("leases", ["sanlock", "embedded"])
@pytest.mark.parametrize("kind", SERVICES)
def test_the_configuration_of_a_service_can_be_used(kind: str, leases: str, well: str) -> None:
    plain = plain_of(hypervisor=kind, leases=leases, service_health=well, **SERVICES[kind])
    found = config(plain)
    assert (found.hypervisor.kind, found.leases) == (kind, leases)
    assert found.hypervisor.health == (well if "http" in well else ("/usr/bin/is-well", "-q"))
    assert found.policy.move_by_restart
    assert found.engine.memory == 1024
    # There is no VM: no oVirt engine, no disk, and an interface that is there.
    assert found.monitors.bridge.name == "ovirtmgmt"
    assert (
        not {"fqdn", "boot", "disk_gb", "memory_mb", "bridge_nic"}
        & settled(hypervisor=kind, service_health=well, **SERVICES[kind]).keys()
    )
    if kind == "command":
        assert found.hypervisor.run == ("/usr/bin/db", "--name", "a b")
        assert (found.hypervisor.stop, found.hypervisor.directory) == ("SIGINT", Path("/srv"))


@pytest.mark.parametrize("kind", SERVICES)
def test_nothing_is_said_of_a_vm_where_there_is_none(kind: str) -> None:
    values = settled(hypervisor=kind, service_health="/bin/true", **SERVICES[kind])
    outline = Outline(
        values=values,
        places=places_of(values, OWN.state_dir),
        own=OWN,
        machine=MACHINE,
        has_systemd=True,
    )
    said = [text for stage in first_host(outline) for text in (stage.title, *stage.does)]
    assert not [text for text in said if "VM" in text]
    assert "memSize" not in vm_conf(values, "")


@pytest.mark.parametrize("boot", ["cdrom", "disk", "pxe"])
def test_media_are_gone_after_the_installation(boot: str) -> None:
    answers = {"boot": boot, "image": "/srv/i.qcow2", "root_password": "x", "cdrom": "/srv/i.iso"}
    values = settled(**answers)
    final = config_of(values, places_of(values, OWN.state_dir), OWN, HOST)
    during = installing(final, values, OWN.seed)
    vm = config(during).hypervisor.vm
    assert (vm.cdrom, vm.nics[0].boot) == {
        "cdrom": (Path("/srv/i.iso"), False),
        "disk": (Path(OWN.seed), False),
        "pxe": (None, True),
    }[boot]
    assert config(final).hypervisor.vm.cdrom is None
    assert not config(final).hypervisor.vm.nics[0].boot


def test_on_a_block_device_nothing_overlaps() -> None:
    values = settled(storage_type="block", storage="/dev/sdb", vm_device="/dev/sdc", hosts="2000")
    places = places_of(values, OWN.state_dir)
    mib = 1 << 20
    # Two areas of leases, two of what is told, and then the whiteboard.
    assert (places.told_at, places.board_at) == (2 * mib, 4 * mib)
    assert places.device_bytes(2000) == 4 * mib + 4096 * 2001
    sanlock = config(config_of(values, places, OWN, HOST)).others.get("sanlock")
    assert str(sanlock.path) == "/dev/sdb"  # type: ignore[union-attr]


def test_ovirts_files_say_the_same() -> None:
    values = settled(storage_type="nfs", storage="filer:/export", memory_mb="5000")
    text = hosted_engine_conf(values, OWN, 3)
    pairs = dict(line.split("=", 1) for line in text.splitlines())
    assert (pairs["fqdn"], pairs["host_id"], pairs["vmid"]) == (
        "engine.example.com",
        "3",
        MACHINE.vm_id,
    )
    (server,) = connection_of(pairs).servers
    assert server["connection"] == "filer:/export"
    params = params_of(vm_conf(values, "/srv/he-fsm/engine.raw"))
    assert (params["memSize"], params["vmId"], len(params["devices"])) == (
        "5000",
        MACHINE.vm_id,
        2,
    )


def test_what_a_shell_would_act_upon_is_refused() -> None:
    values = settled(storage="/srv/$(reboot)")
    with pytest.raises(AnswerError, match="be written as storage of hosted-engine"):
        hosted_engine_conf(values, OWN, 1)


@pytest.mark.parametrize("medium", ["", "/srv/install.iso"])
def test_the_domain_is_fit_for_ha(medium: str) -> None:
    values = settled(hypervisor="libvirt", huge_pages="Yes")
    place = LeasePlace(
        manager="sanlock", lockspace="he-fsm", resource="engine", path="/srv/s", offset=1 << 20
    )
    xml = domain_xml(values, "/srv/shared/engine.raw", place, accel="kvm", medium=medium)
    found = read(xml)
    assert found.uuid == MACHINE.vm_id
    assert [each for each in findings(found, Circumstances(place=place)) if each.is_fatal] == []
    assert ("<hugepages" in xml, medium in xml) == (True, True)


PLACE = LeasePlace(manager="sanlock", lockspace="l", resource="r", path="/srv/s", offset=4096)


def test_somebodys_own_domain_gets_the_lease_and_loses_another_one() -> None:
    text = (
        "<domain type='kvm'><name>mine</name><devices><lease><lockspace>old</lockspace></lease>"
        "<panic model='isa'/></devices></domain>"
    )
    found = read(own_domain_xml(text, settled(hypervisor="libvirt"), PLACE))
    assert (found.name, found.uuid) == ("HostedEngine", MACHINE.vm_id)
    assert [(each.lockspace, each.key) for each in found.leases] == [("l", "r")]


@pytest.mark.parametrize("text", ["", "<domain", "<network/>", "<domain><name>x</name></domain>"])
def test_what_is_no_domain_is_refused(text: str) -> None:
    with pytest.raises(AnswerError, match="--domain: "):
        own_domain_xml(text, settled(hypervisor="libvirt"), PLACE)


@pytest.mark.parametrize("hypervisor", ["qemu", "libvirt", "embedded"])
@pytest.mark.parametrize("kind", STORAGES)
def test_every_stage_has_its_deed(hypervisor: str, kind: str) -> None:
    if hypervisor == "embedded" and kind != "directory":
        return
    values = settled(
        hypervisor=hypervisor, storage_type=kind, boot="disk", image="/srv/i.qcow2",
        **SECRETS, **STORAGES[kind]
    )  # fmt: skip
    outline = Outline(
        values=values,
        places=places_of(values, OWN.state_dir),
        own=OWN,
        machine=MACHINE,
        has_systemd=True,
    )
    first = [stage.name for stage in first_host(outline)]
    further = [stage.name for stage in further_host(outline)]
    assert set(first) <= set(FIRST)
    assert set(further) <= set(FURTHER)
    # In the order of the table, and what other hosts rely on comes last but one.
    assert first == [name for name in FIRST if name in first]
    assert further == [name for name in FURTHER if name in further]
    assert first[-2:] == ["tell", "services"]


def test_passwords_are_on_the_medium_and_nowhere_else() -> None:
    values = settled(
        boot="disk", image="/srv/e.ova", ovirt_engine="Yes", **SECRETS,
        vm_address="192.0.2.20/24", vm_dns="192.0.2.2",
    )  # fmt: skip
    files = seed_files(values)
    user = yaml.safe_load(files["user-data"])
    assert user["fqdn"] == "engine.example.com"
    assert user["chpasswd"]["users"][0] == ROOT
    assert "adminPassword=str:admin-Geheimnis" in user["write_files"][0]["content"]
    card = yaml.safe_load(files["network-config"])["ethernets"]["engine"]
    assert (card["addresses"], card["gateway4"]) == (["192.0.2.20/24"], "192.0.2.1")
    plain = config_of(values, places_of(values, OWN.state_dir), OWN, HOST)
    others = as_yaml(plain) + vm_conf(values, "/d") + hosted_engine_conf(values, OWN, 1)
    assert "Geheimnis" not in others


fitnesses = st.builds(
    Fitness,
    hostname=st.from_regex(r"[a-z]{1,8}", fullmatch=True),
    cpus=st.lists(st.sampled_from(["Haswell", "Westmere", "qemu64"]), unique=True).map(tuple),
    machines=st.lists(st.sampled_from(["pc-q35-7.2", "pc-q35-10.0"]), unique=True).map(tuple),
    accel=st.sampled_from(["kvm", "tcg", ""]),
    memory_mb=st.integers(0, 10**6),
)
tolds = st.builds(
    Told,
    answers=st.text(),
    settings=st.dictionaries(st.text(), st.integers() | st.text() | st.booleans()),
    hosts=st.dictionaries(st.integers(1, 2000), fitnesses, max_size=6),
    secret=st.text(),
    domain=st.text(),
)


@given(told=tolds)
def test_what_is_told_is_read_again(told: Told) -> None:
    assert from_text(to_text(told), "deployment") == told


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"he-fsm deployment": 1}'])
def test_something_else_is_no_deployment(text: str) -> None:
    with pytest.raises(DeployError, match="does not hold what a first host tells"):
        from_text(text, "deployment")


def test_a_newer_release_has_told() -> None:
    with pytest.raises(DeployError, match="upgrade this host first"):
        from_text('{"he-fsm deployment": 2}', "deployment")


EMPTY = Whiteboard.parse(b"")


@given(told=tolds, held=st.sets(st.integers(1, 12)), room=st.integers(1, 12))
def test_the_next_host_id_is_the_lowest_that_nobody_has(
    told: Told, held: set[int], room: int
) -> None:
    ids = HostIds(board=EMPTY, told=told, held=held, room=room)
    free = [number for number in range(1, room + 1) if number not in {*told.hosts, *held}]
    if free:
        assert ids.next() == free[0]
        assert ids.why_not(free[0], "new.example.com") == ""
    else:
        with pytest.raises(DeployError, match="are taken"):
            ids.next()


@pytest.mark.parametrize(
    ("off_s", "is_refused"), [(None, False), (0.0, False), (-10.0, False), (10.1, True)]
)
def test_a_clock_may_be_off_by_ten_seconds(off_s: float, is_refused: bool) -> None:
    applicant = Applicant(fitness=Fitness(), clock_off_s=off_s)
    assert bool(list(refusals(settled(), applicant, {}))) == is_refused


@pytest.mark.parametrize(
    ("fitness", "said"),
    [
        (
            Fitness(cpus=("Penryn", "qemu64")),
            "can't run the VM's CPU model Westmere; all hosts can run qemu64: set",
        ),
        (Fitness(cpus=("Penryn",)), "there is no hypervisor.vm.cpu that all hosts can run"),
        (
            Fitness(machines=("pc-q35-7.1",)),
            "no machine type pc-q35-7.2; install the release of the other hosts, or all hosts can",
        ),
        (Fitness(memory_mb=4096), "this host has 4096 MiB of memory, and the VM needs 4096 MiB"),
    ],
)
def test_a_host_that_can_t_run_the_vm(fitness: Fitness, said: str) -> None:
    first = Fitness(cpus=("Westmere", "qemu64"), machines=("pc-q35-7.2", "pc-q35-7.1"))
    (refused,) = refusals(settled(), Applicant(fitness=fitness), {1: first})
    assert said in refused


@given(hosts=st.lists(fitnesses, min_size=1, max_size=4))
def test_what_all_hosts_can_run_is_what_each_can_run(hosts: list[Fitness]) -> None:
    known = [set(each.cpus) for each in hosts if each.cpus]
    assert set(common(hosts).cpus) == (set.intersection(*known) if known else set())


def test_settings_go_over_the_configuration() -> None:
    changes = {"policy": {"base": "talk", "loop_s": 5}, "hypervisor": {"vm": {"cpus": 8}}}
    found = merged(plain_of(), changes)
    assert config(found).policy.loop_s == 5.0
    assert config(found).hypervisor.vm.cpus == 8
    assert config(found).hypervisor.vm.memory == 4096
    assert attrs.asdict(config(found).host) == {**HOST, "preference": 0}
