"""The VM as a domain of libvirt. Source: libvirt, formatdomain.html."""

from __future__ import annotations

from typing import Final
from xml.etree import ElementTree as ET

from he_fsm.deploy.asking.question import Values
from he_fsm.errors import AnswerError
from he_fsm.runtime.ports import LeasePlace

NAME: Final = "HostedEngine"


def domain_xml(
    values: Values, disk: str, place: LeasePlace, *, accel: str = "", medium: str = ""
) -> str:
    """
    Return the definition, with the engine's lease in it.

    Args:
        values: the settled answers.
        disk: the VM's disk, a file or a block device.
        place: the engine's lease.
        accel: kvm or tcg; empty: kvm.
        medium: a CD from which the guest is installed, or configured; empty: none.
    """
    root = ET.Element("domain", type="qemu" if accel == "tcg" else "kvm")
    _add(root, "name", NAME)
    _add(root, "uuid", str(values["vm_id"]))
    _add(root, "memory", str(values["memory_mb"]), unit="MiB")
    if values.get("huge_pages"):
        ET.SubElement(ET.SubElement(root, "memoryBacking"), "hugepages")
    _add(root, "vcpu", str(values["cpus"]))
    root.append(_system(values, medium))
    ET.SubElement(ET.SubElement(root, "features"), "acpi")
    if values.get("cpu_model"):
        cpu = ET.SubElement(root, "cpu", mode="custom", match="exact")
        _add(cpu, "model", str(values["cpu_model"]), fallback="forbid")
    for event, reaction in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        _add(root, f"on_{event}", reaction)
    root.append(_devices(values, disk, place, medium))
    return ET.tostring(root, encoding="unicode")


def own_domain_xml(text: str, values: Values, place: LeasePlace) -> str:
    """
    Return somebody's own definition of the VM, with its name, its UUID and the engine's lease.

    Raises:
        AnswerError: it is no definition of a domain.
    """
    try:
        root = ET.fromstring(text)  # noqa: S314 - root's own file, and expat expands no entity twice
    except ET.ParseError as error:
        msg = f"--domain: this is no XML: {error}"
        raise AnswerError(msg) from error
    devices = root.find("devices")
    if root.tag != "domain" or devices is None:
        msg = "--domain: expected a domain of libvirt with its devices, as virsh dumpxml prints it"
        raise AnswerError(msg)
    for tag, value in (("name", NAME), ("uuid", str(values["vm_id"]))):
        found = root.find(tag)
        if found is None:
            found = ET.SubElement(root, tag)
        found.text = value
    for lease in devices.findall("lease"):
        devices.remove(lease)
    devices.append(_lease(place))
    return ET.tostring(root, encoding="unicode")


def _system(values: Values, medium: str) -> ET.Element:
    system = ET.Element("os")
    machine = str(values.get("emulated") or "q35")
    _add(system, "type", "hvm", arch="x86_64", machine=machine)
    ET.SubElement(system, "boot", dev="hd")
    if medium:
        ET.SubElement(system, "boot", dev="cdrom")
    if values.get("boot") == "pxe":
        ET.SubElement(system, "boot", dev="network")
    return system


def _devices(values: Values, disk: str, place: LeasePlace, medium: str) -> ET.Element:
    devices = ET.Element("devices")
    is_device = disk.startswith("/dev/")
    block = ET.SubElement(devices, "disk", type="block" if is_device else "file", device="disk")
    ET.SubElement(block, "driver", name="qemu", type="raw", cache="none", error_policy="stop")
    ET.SubElement(block, "source", {"dev" if is_device else "file": disk})
    ET.SubElement(block, "target", dev="vda", bus="virtio")
    if medium:
        cd = ET.SubElement(devices, "disk", type="file", device="cdrom")
        ET.SubElement(cd, "driver", name="qemu", type="raw")
        ET.SubElement(cd, "source", file=medium)
        ET.SubElement(cd, "target", dev="sda", bus="sata")
        ET.SubElement(cd, "readonly")
    card = ET.SubElement(devices, "interface", type="bridge")
    ET.SubElement(card, "mac", address=str(values["mac"]))
    ET.SubElement(card, "source", bridge=str(values["bridge"]))
    ET.SubElement(card, "model", type="virtio")
    serial = ET.SubElement(devices, "serial", type="pty")
    ET.SubElement(serial, "target", port="0")
    # Without a password nobody gets in: `he-fsm console` gives one out.
    ET.SubElement(devices, "graphics", type=str(values["console"]), autoport="yes")
    # By these the guest reports its own death.
    ET.SubElement(devices, "panic", model="isa")
    devices.append(_lease(place))
    return devices


def _lease(place: LeasePlace) -> ET.Element:
    lease = ET.Element("lease")
    _add(lease, "lockspace", place.lockspace)
    _add(lease, "key", place.resource)
    ET.SubElement(lease, "target", path=place.path, offset=str(place.offset))
    return lease


def _add(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text
