"""The tiny guest as a domain of libvirt."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Optional
from xml.etree import ElementTree as ET

from he_fsm.lab.guest.build import MEMORY_MIB, Guest
from he_fsm.lab.network import BRIDGE, ENGINE, GATEWAY, PREFIX_BITS
from he_fsm.runtime.ports import LeasePlace

NAME: Final = "HostedEngine"
_UUID: Final = "11111111-2222-4333-8444-555555555555"
_MAC: Final = "52:54:00:00:00:64"
# Source: libvirt, drvqemu.html, "Pass-through of arbitrary qemu commands".
_QEMU: Final = "http://libvirt.org/schemas/domain/qemu/1.0"
# One that every emulating QEMU has.
_CPU: Final = "qemu64"


def domain_xml(  # noqa: PLR0913 - a domain has many parts
    guest: Guest,
    disk: Path,
    place: Optional[LeasePlace],
    name: str = NAME,
    *,
    memory_mib: int = MEMORY_MIB,
    monitor: Optional[Path] = None,
) -> str:
    """
    Return the guest's definition.

    *place* None: it has no lease. *monitor*: a socket by which somebody beside libvirt asks QEMU.
    """
    root = ET.Element("domain", type="qemu")
    _add(root, "name", name)
    _add(root, "uuid", _UUID)
    _add(root, "memory", str(memory_mib), unit="MiB")
    _add(root, "vcpu", "1")
    system = ET.SubElement(root, "os")
    _add(system, "type", "hvm", arch="x86_64", machine="q35")
    _add(system, "kernel", str(guest.kernel))
    _add(system, "initrd", str(guest.initrd))
    address = f"guest.ip={ENGINE}/{PREFIX_BITS} guest.gw={GATEWAY}"
    _add(system, "cmdline", f"{guest.append} {address}")
    ET.SubElement(ET.SubElement(root, "features"), "acpi")
    cpu = ET.SubElement(root, "cpu", mode="custom", match="exact")
    _add(cpu, "model", _CPU, fallback="forbid")
    for event, reaction in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        _add(root, f"on_{event}", reaction)
    root.append(_devices(disk, place))
    if monitor is not None:
        root.append(_second_monitor(monitor))
    return ET.tostring(root, encoding="unicode")


def _devices(disk: Path, place: Optional[LeasePlace]) -> ET.Element:
    devices = ET.Element("devices")
    ET.SubElement(devices, "controller", type="usb", model="none")
    block = ET.SubElement(devices, "disk", type="file", device="disk")
    ET.SubElement(block, "driver", name="qemu", type="raw", cache="none")
    ET.SubElement(block, "source", file=str(disk))
    ET.SubElement(block, "target", dev="vda", bus="virtio")
    # QEMU's own locks reach across the hosts of one machine, where they would hide a missing lease.
    ET.SubElement(block, "shareable")
    card = ET.SubElement(devices, "interface", type="bridge")
    ET.SubElement(card, "mac", address=_MAC)
    ET.SubElement(card, "source", bridge=BRIDGE)
    ET.SubElement(card, "model", type="virtio")
    ET.SubElement(card, "rom", enabled="no")
    serial = ET.SubElement(devices, "serial", type="file")
    ET.SubElement(serial, "source", path="/var/log/libvirt/guest.console")
    ET.SubElement(devices, "memballoon", model="none")
    # By these the guest reports its own death.
    ET.SubElement(devices, "panic", model="isa")
    ET.SubElement(devices, "watchdog", model="i6300esb", action="poweroff")
    if place is not None:
        lease = ET.SubElement(devices, "lease")
        _add(lease, "lockspace", place.lockspace)
        _add(lease, "key", place.resource)
        ET.SubElement(lease, "target", path=place.path, offset=str(place.offset))
    return devices


def _second_monitor(path: Path) -> ET.Element:
    """Return what gives QEMU a monitor that is not libvirt's."""
    command = ET.Element(f"{{{_QEMU}}}commandline")
    words = ("-chardev", f"socket,id=sight,path={path},server=on,wait=off")
    for word in (*words, "-mon", "chardev=sight,mode=control"):
        ET.SubElement(command, f"{{{_QEMU}}}arg", value=word)
    return command


def _add(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text
