"""What a domain's XML says, and what is wrong with it: no daemon, no root."""

from __future__ import annotations

from pathlib import Path
from typing import Optional
from xml.etree import ElementTree as ET

import pytest

from he_fsm.errors import HypervisorError
from he_fsm.lab.guest.build import Guest
from he_fsm.lab.libvirt.domain import domain_xml
from he_fsm.runtime.hypervisors.libvirt.definition.findings import (
    Circumstances,
    findings,
    lease_findings,
    lease_xml,
)
from he_fsm.runtime.hypervisors.libvirt.definition.host import locality
from he_fsm.runtime.hypervisors.libvirt.definition.reading import (
    Definition,
    Lease,
    read,
    with_password,
)
from he_fsm.runtime.hypervisors.lock_manager import driver_findings, lock_manager_of
from he_fsm.runtime.ports import LeasePlace

PLACE = LeasePlace(
    manager="sanlock",
    lockspace="he-fsm",
    resource="engine",
    path="/srv/he-fsm/sanlock",
    offset=1 << 20,
)
GUEST = Guest(Path("/boot/vmlinuz"), Path("/boot/initrd"))
XML = domain_xml(GUEST, Path("/srv/he-fsm/engine.raw"), PLACE)
ADD = (
    "virsh edit HostedEngine, and write in <devices>: <lease><lockspace>he-fsm</lockspace>"
    '<key>engine</key><target path="/srv/he-fsm/sanlock" offset="1048576"/></lease>'
)


def changed(
    *paths: str, remove: bool = False, text: Optional[str] = None, **attributes: str
) -> str:
    """Return the good definition with one element changed, removed, or added."""
    root = ET.fromstring(XML)
    for path in paths:
        parent_path, _, tag = path.rpartition("/")
        parent = root.find(parent_path) if parent_path else root
        assert parent is not None
        element = parent.find(tag)
        if remove:
            assert element is not None
            parent.remove(element)
            continue
        if element is None:
            element = ET.SubElement(parent, tag)
        if text is not None:
            element.text = text
        element.attrib.update(attributes)
    return ET.tostring(root, encoding="unicode")


def said(xml: str, *, is_fatal: Optional[bool] = None, **around: object) -> list[str]:
    found = findings(read(xml), Circumstances(place=PLACE, **around))  # type: ignore[arg-type]
    return [str(each) for each in found if is_fatal is None or each.is_fatal is is_fatal]


def test_the_good_definition_has_no_findings() -> None:
    assert said(XML, moves=True) == []


def test_a_definition_is_read() -> None:
    definition = read(XML)
    assert definition.name == "HostedEngine"
    assert definition.leases == (
        Lease(lockspace="he-fsm", key="engine", path="/srv/he-fsm/sanlock", offset=1 << 20),
    )
    assert [(disk.target, disk.source, disk.cache) for disk in definition.disks] == [
        ("vda", "/srv/he-fsm/engine.raw", "none")
    ]
    assert definition.files == ("/boot/vmlinuz", "/boot/initrd")


def test_what_is_not_written_is_what_libvirt_takes() -> None:
    bare = read("<domain><name>x</name></domain>")
    assert (bare.on_poweroff, bare.on_reboot, bare.on_crash) == ("destroy", "restart", "destroy")
    assert (bare.leases, bare.disks, bare.screens, bare.on_lockfailure) == ((), (), (), "")


@pytest.mark.parametrize("xml", ["", "<domain>", "no XML", "<network/>"])
def test_what_is_no_domain_is_refused(xml: str) -> None:
    with pytest.raises(HypervisorError):
        read(xml)


def test_no_lease_is_fatal_and_says_what_to_write() -> None:
    (found,) = lease_findings(read(changed("devices/lease", remove=True)), PLACE)
    assert found.is_fatal
    assert str(found) == (
        "the domain HostedEngine has no <lease>: libvirt would start it without the engine's "
        f"lease, and a second one could run on another host: {ADD}"
    )


@pytest.mark.parametrize(
    ("path", "change", "why"),
    [
        ("lockspace", {"text": "other"}, "lockspace other, not he-fsm"),
        ("key", {"text": "other"}, "key other, not engine"),
        ("target", {"path": "/srv/x"}, "path /srv/x, not /srv/he-fsm/sanlock"),
        ("target", {"offset": "0"}, "offset 0, not 1048576"),
    ],
)
def test_another_lease_is_fatal_and_says_in_what(
    path: str, change: dict[str, str], why: str
) -> None:
    (found,) = lease_findings(read(changed(f"devices/lease/{path}", **change)), PLACE)  # type: ignore[arg-type]
    assert found.is_fatal
    assert str(found) == (
        f"the domain HostedEngine has another lease than the configuration: {why}: "
        f"{ADD} in place of its <lease>"
    )


def test_a_further_lease_is_a_warning() -> None:
    root = ET.fromstring(XML)
    devices = root.find("devices")
    assert devices is not None
    devices.append(ET.fromstring(lease_xml(PLACE).replace("engine", "disk")))
    (found,) = lease_findings(read(ET.tostring(root, encoding="unicode")), PLACE)
    assert not found.is_fatal
    assert "has 2 leases" in found.what


def test_a_lease_in_xml_is_escaped() -> None:
    place = LeasePlace(manager="sanlock", lockspace="a&b", resource="c<d", path='/e"f', offset=0)
    assert read(f"<domain><devices>{lease_xml(place)}</devices></domain>").leases == (
        Lease(lockspace="a&b", key="c<d", path='/e"f', offset=0),
    )


@pytest.mark.parametrize(
    ("word", "is_fatal"), [("restart", True), ("ignore", True), ("pause", False)]
)
def test_reactions_to_a_lost_lease(word: str, is_fatal: bool) -> None:
    (found,) = lease_findings(read(changed("on_lockfailure", text=word)), PLACE)
    assert found.is_fatal is is_fatal
    assert found.mend == "virsh edit HostedEngine, and remove <on_lockfailure>"


def test_power_off_at_a_lost_lease_is_well() -> None:
    assert said(changed("on_lockfailure", text="poweroff")) == []


@pytest.mark.parametrize(
    ("key", "word", "good"),
    [
        ("on_crash", "restart", "destroy"),
        ("on_crash", "preserve", "destroy"),
        ("on_reboot", "destroy", "restart"),
        ("on_poweroff", "restart", "destroy"),
    ],
)
def test_what_fights_the_agent(key: str, word: str, good: str) -> None:
    (found,) = said(changed(key, text=word), is_fatal=False)
    assert found.startswith(f"the domain HostedEngine has <{key}>{word}: ")
    assert found.endswith(f": virsh edit HostedEngine, and write <{key}>{good}</{key}>")


def test_a_dump_of_a_crashed_guest_is_well() -> None:
    assert said(changed("on_crash", text="coredump-destroy")) == []


def test_a_guest_that_can_not_report_a_panic_is_a_warning() -> None:
    assert said(changed("devices/panic", remove=True)) == [
        (
            "the domain HostedEngine has no <panic>: a guest whose kernel panics is restarted only "
            "when its health page has been bad for minutes: virsh edit HostedEngine, and write in "
            "<devices>: <panic/>"
        )
    ]


def test_what_starts_by_itself() -> None:
    (autostart,) = said(XML, is_autostarted=True)
    assert autostart == (
        "libvirt starts the domain HostedEngine by itself (autostart), beside the agent: "
        "virsh autostart --disable HostedEngine"
    )
    (saved,) = said(XML, has_saved_state=True)
    assert "virsh managedsave-remove HostedEngine" in saved


@pytest.mark.parametrize("cache", ["writeback", "writethrough", "unsafe"])
def test_a_cache_is_unsafe_for_a_domain_that_moves(cache: str) -> None:
    xml = changed("devices/disk/driver", cache=cache)
    assert said(xml) == []
    (found,) = said(xml, moves=True)
    assert found.startswith(f"the disk vda of the domain HostedEngine has the cache {cache}: ")
    assert found.endswith(": virsh edit HostedEngine, and write cache='none' in its <driver>")


def test_a_disk_that_nobody_writes_may_have_any_cache() -> None:
    xml = changed("devices/disk/driver", cache="writeback")
    root = ET.fromstring(xml)
    disk = root.find("devices/disk")
    assert disk is not None
    ET.SubElement(disk, "readonly")
    assert said(ET.tostring(root, encoding="unicode"), moves=True) == []


def test_a_path_of_this_host_alone() -> None:
    def local_to(path: str) -> Optional[str]:
        return "a file system of this host alone (ext4)" if path.startswith("/boot") else None

    kernel, initrd = said(XML, local_to=local_to)
    assert kernel == (
        "the file /boot/vmlinuz of the domain HostedEngine is on a file system of this host alone "
        "(ext4): no other host can run the VM: move it to storage that all hosts share, and change "
        "the path by virsh edit HostedEngine"
    )
    assert "/boot/initrd" in initrd


def test_a_device_of_this_host() -> None:
    (found,) = said(changed("devices/hostdev"))
    assert "<hostdev>" in found


def test_a_local_file_system_is_known_unless_it_is_the_shared_one(tmp_path: Path) -> None:
    assert locality(tmp_path)(str(tmp_path)) is None
    assert locality(tmp_path)("/nowhere/at/all") is None
    # The kernel's own file systems are nobody's storage.
    assert locality(tmp_path)("/proc/self/status") is None
    local = locality(Path("/proc"))(str(tmp_path))
    assert local is None or local.startswith("a file system of this host alone (")


@pytest.mark.parametrize(
    ("text", "manager"),
    [
        ("", ""),
        ('# lock_manager = "sanlock"\n', ""),
        ('lock_manager = "sanlock"\n', "sanlock"),
        ('user = "root"\n  lock_manager="lockd"\n', "lockd"),
        ('lock_manager = "lockd"\nlock_manager = "sanlock"\n', "sanlock"),
    ],
)
def test_the_lock_manager_is_read(text: str, manager: str) -> None:
    assert lock_manager_of(text) == manager


def test_a_lock_manager_that_is_off_is_fatal(tmp_path: Path) -> None:
    conf = tmp_path / "qemu.conf"
    (missing,) = driver_findings(conf)
    conf.write_text('lock_manager = "lockd"\n')
    (other,) = driver_findings(conf)
    conf.write_text('lock_manager = "sanlock"\n')
    assert driver_findings(conf) == ()
    assert (missing.is_fatal, other.is_fatal) == (True, True)
    assert str(other) == (
        f'{conf} has lock_manager = "lockd": libvirt would start the domain without the engine\'s '
        f'lease: install libvirt-sanlock, write lock_manager = "sanlock" in {conf}, and restart '
        "libvirtd"
    )


def test_a_configuration_that_can_not_be_read_is_a_warning(tmp_path: Path) -> None:
    (found,) = driver_findings(tmp_path)
    assert not found.is_fatal
    assert "can't be read" in found.what


def test_a_password_is_set_in_the_screens_own_element() -> None:
    xml = "<domain><devices><graphics type='vnc' port='5900' listen='10.0.0.1'/></devices></domain>"
    element = ET.fromstring(with_password(xml, 'a"<b', "2026-01-01T00:00:00"))
    assert element.attrib == {
        "type": "vnc",
        "port": "5900",
        "listen": "10.0.0.1",
        "passwd": 'a"<b',
        "passwdValidTo": "2026-01-01T00:00:00",
    }
    with pytest.raises(HypervisorError, match="no screen"):
        with_password("<domain/>", "x", "y")


def test_a_definition_is_a_value() -> None:
    assert isinstance(read(XML), Definition)
    assert read(XML) == read(XML)
