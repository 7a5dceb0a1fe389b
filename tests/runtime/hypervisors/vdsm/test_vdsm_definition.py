"""A vm.conf, and whether the engine's lease is in it."""

from __future__ import annotations

import base64
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.errors import HypervisorError
from he_fsm.lab.ovirt.definition import VM_ID, vm_conf
from he_fsm.runtime.hypervisors.vdsm.definition import findings, load, of_xml, parse
from he_fsm.runtime.ports import LeasePlace

DOMAIN = "5ab4e0ac-5d4c-4a52-b0a2-3a4b2f6a1f37"
VOLUME = "0f6c9a3b-1a6e-4e7f-8a6d-2f0c7d3b9e11"
PLACE = LeasePlace(
    manager="sanlock",
    lockspace=DOMAIN,
    resource=VOLUME,
    path=f"/rhev/data-center/mnt/host:_path/{DOMAIN}/images/image/{VOLUME}.lease",
)
METADATA = f"""
<metadata xmlns:ovirt-vm="http://ovirt.org/vm/1.0"><ovirt-vm:vm>
  <ovirt-vm:device devtype="disk" name="vda">
    <ovirt-vm:domainID>{DOMAIN}</ovirt-vm:domainID>
    <ovirt-vm:volumeID>{VOLUME}</ovirt-vm:volumeID>
    <ovirt-vm:shared>SHARED</ovirt-vm:shared>
  </ovirt-vm:device>
</ovirt-vm:vm></metadata>
"""


def domain(devices: str = "", metadata: str = "") -> str:
    return (
        f"<domain><name>HostedEngine</name><uuid>{VM_ID}</uuid>{metadata}"
        f"<devices>{devices}</devices></domain>"
    )


def lease(target: str) -> str:
    return f"<lease><lockspace>{DOMAIN}</lockspace><key>{VOLUME}</key><target {target}/></lease>"


def wrong(xml: str, place: LeasePlace = PLACE) -> str:
    found = findings(of_xml(xml), place, vm_id=VM_ID, name="HostedEngine")
    return "\n".join(map(str, found))


@pytest.mark.parametrize(
    "xml",
    [
        domain(lease(f"path='{PLACE.path}' offset='0'")),
        # vdsm finds the place when it starts the VM.
        domain(lease(f"path='LEASE-PATH:{VOLUME}:{DOMAIN}' offset='LEASE-OFFSET:{VOLUME}:x'")),
        domain(lease(f"path='{PLACE.path}'")),
        domain(metadata=METADATA.replace("SHARED", "exclusive")),
    ],
    ids=["at its place", "by vdsm's placeholders", "at 0", "of an exclusive disk"],
)
def test_the_engines_lease_is_found(xml: str) -> None:
    assert wrong(xml) == ""


@pytest.mark.parametrize(
    "xml",
    [
        domain(),
        domain(lease("path='/elsewhere' offset='0'")),
        domain(lease(f"path='{PLACE.path}' offset='1048576'")),
        domain(lease(f"path='{PLACE.path}'").replace(VOLUME, "another", 1)),
        domain(metadata=METADATA.replace("SHARED", "none")),
        domain(metadata=METADATA.replace("SHARED", "exclusive").replace(VOLUME, "another")),
    ],
    ids=["no lease", "another path", "another offset", "another name", "shared", "another disk"],
)
def test_without_the_engines_lease_nothing_is_started(xml: str) -> None:
    assert "does not name the engine's lease" in wrong(xml)


def test_another_vm_is_not_started_in_its_place() -> None:
    xml = domain(lease(f"path='{PLACE.path}'")).replace("HostedEngine", "web1")
    found = findings(of_xml(xml), PLACE, vm_id="another", name="HostedEngine")
    assert [finding.is_fatal for finding in found] == [True, True]
    assert "calls it web1, not HostedEngine" in str(found[1])


def test_white_space_and_comments_mean_nothing_and_the_last_line_counts() -> None:
    text = vm_conf(PLACE, "HostedEngine", 16384)
    xml = text.rpartition("xmlBase64=")[2].strip()
    spaced = f"# xmlBase64=no\nxmlBase64=bm8=\n xml Base64 = {xml[:20]} {xml[20:]} # the VM\n"
    assert parse(spaced) == parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it has no xmlBase64"),
        ("vmId=1\ndevices={device:disk}\n", "it has no xmlBase64"),
        ("xmlBase64=%%%%\n", "xmlBase64 is damaged"),
        (f"xmlBase64={base64.b64encode(b'<a').decode()}\n", "can't be read"),
        (f"xmlBase64={base64.b64encode(b'<a/>').decode()}\n", "no domain with a name and a UUID"),
    ],
)
def test_what_is_of_no_use_says_why_and_in_which_file(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "vm.conf"
    path.write_text(text)
    with pytest.raises(HypervisorError, match=r"vm\.conf: ") as refused:
        load(path)
    assert message in str(refused.value)


def test_the_copy_counts_where_there_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "vm.conf"
    with pytest.raises(HypervisorError, match="there is no"):
        load(path)
    path.with_name("vm.conf.fallback").write_text(vm_conf(PLACE, "HostedEngine", 64))
    assert load(path).vm_id == VM_ID


@given(offset=st.integers(0, 1 << 40), path=st.text("abc/_-.", min_size=1, max_size=20))
def test_what_a_lab_writes_is_what_is_read(offset: int, path: str) -> None:
    place = attrs.evolve(PLACE, offset=offset, path=path)
    definition = parse(vm_conf(place, "HostedEngine", 64))
    assert findings(definition, place, vm_id=VM_ID, name="HostedEngine") == []
    moved = attrs.evolve(place, offset=offset + 512)
    assert findings(definition, moved, vm_id=VM_ID, name="HostedEngine") != []
