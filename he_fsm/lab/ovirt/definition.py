"""A vm.conf for the VM of a lab's vdsm."""

from __future__ import annotations

import base64
from typing import Final, Optional
from xml.etree import ElementTree as ET

from he_fsm.runtime.ports import LeasePlace

VM_ID: Final = "11111111-2222-4333-8444-555555555555"


def vm_conf(
    place: Optional[LeasePlace], name: str, memory_mib: int, *, has_screen: bool = False
) -> str:
    """Return a vm.conf with the lease at *place*; None: it has none. What runs is the lab's own."""
    root = ET.Element("domain", type="kvm")
    for tag, text in (("name", name), ("uuid", VM_ID), ("memory", str(memory_mib * 1024))):
        ET.SubElement(root, tag).text = text
    devices = ET.SubElement(root, "devices")
    if has_screen:
        ET.SubElement(devices, "graphics", type="vnc", port="-1", autoport="yes")
    if place is not None:
        lease = ET.SubElement(devices, "lease")
        ET.SubElement(lease, "lockspace").text = place.lockspace
        ET.SubElement(lease, "key").text = place.resource
        ET.SubElement(lease, "target", path=place.path, offset=str(place.offset))
    encoded = base64.b64encode(ET.tostring(root)).decode()
    return f"vmId={VM_ID}\nvmName={name}\nmemSize={memory_mib}\nxmlBase64={encoded}\n"
