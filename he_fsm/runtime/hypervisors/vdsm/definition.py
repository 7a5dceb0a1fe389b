"""
The VM's definition as vdsm is given it: oVirt's vm.conf, with the libvirt domain in it.

Pure functions, but for `load`. Source: ovirt-hosted-engine-ha 2.5, `lib/vm.py` and
`lib/engine.py`; vdsm 4.50.7, `virt/vmdevices/storage.py` and `lease.py`.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Final, Optional
from xml.etree import ElementTree as ET

import attrs

from he_fsm.errors import HypervisorError
from he_fsm.runtime.ports import Finding, LeasePlace

_XML: Final = "xmlBase64"
# What vdsm puts the place of a lease for, when it starts the VM.
_PLACEHOLDERS: Final = ("LEASE-PATH:", "LEASE-OFFSET:")
# A disk that is shared so has a lease of its own, beside its volume.
_EXCLUSIVE: Final = "exclusive"


@attrs.frozen(kw_only=True)
class WantedLease:
    """A lease that is taken before the VM executes; *path* and *offset* None: vdsm finds them."""

    lockspace: str
    key: str
    path: Optional[str] = None
    offset: Optional[int] = None

    def is_at(self, place: LeasePlace) -> bool:
        """Whether it is the lease at *place*, as far as the definition says where it is."""
        if (self.lockspace, self.key) != (place.lockspace, place.resource):
            return False
        is_there = self.path is None or self.path == place.path
        return is_there and self.offset in (None, place.offset)


@attrs.frozen(kw_only=True)
class VmDefinition:
    """What matters here of a definition; *xml* is what vdsm gets."""

    xml: str
    vm_id: str
    name: str
    leases: tuple[WantedLease, ...]
    has_screen: bool


def load(path: Path) -> VmDefinition:
    """
    Return the definition in a vm.conf, or in the copy that oVirt's agent keeps beside it.

    Raises:
        HypervisorError: there is none, or it is of no use; the message names the file.
    """
    try:
        text = _text(path)
        return parse(text)
    except FileNotFoundError as error:
        msg = f"there is no {path}: the VM's definition comes from the shared storage"
        raise HypervisorError(msg) from error
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} can't be read: {error}"
        raise HypervisorError(msg) from error
    except ValueError as error:
        msg = f"{path}: {error}"
        raise HypervisorError(msg) from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return path.with_name(f"{path.name}.fallback").read_text(encoding="utf-8")


def parse(text: str) -> VmDefinition:
    """
    Return the definition in the text of a vm.conf.

    White space means nothing there, `#` begins a comment anywhere, and the last of several lines
    with one key counts.

    Raises:
        ValueError: there is no domain in it, or it can't be read.
    """
    encoded = ""
    for line in text.splitlines():
        key, _, value = "".join(line.split()).partition("#")[0].partition("=")
        if key == _XML:
            encoded = value
    if not encoded:
        msg = (
            f"it has no {_XML}, without which vdsm starts no VM: the engine writes it to the "
            "storage, and oVirt's agent or `he-fsm` to this host"
        )
        raise ValueError(msg)
    try:
        xml = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        msg = f"{_XML} is damaged: {error}"
        raise ValueError(msg) from error
    return of_xml(xml)


def of_xml(xml: str) -> VmDefinition:
    """
    Return what matters of a libvirt domain with oVirt's metadata.

    Raises:
        ValueError: it is none.
    """
    try:
        # vdsm reads the same text; expat itself refuses entities that expand without end.
        root = ET.fromstring(xml)  # noqa: S314
    except ET.ParseError as error:
        msg = f"the domain's XML can't be read: {error}"
        raise ValueError(msg) from error
    vm_id, name = _said(root, "uuid"), _said(root, "name")
    if root.tag != "domain" or not vm_id or not name:
        msg = "the XML is no domain with a name and a UUID"
        raise ValueError(msg)
    return VmDefinition(
        xml=xml,
        vm_id=vm_id,
        name=name,
        leases=(*_lease_elements(root), *_exclusive_disks(root)),
        has_screen=root.find("devices/graphics") is not None,
    )


def _lease_elements(root: ET.Element) -> list[WantedLease]:
    found = []
    for each in root.iterfind("devices/lease"):
        target = each.find("target")
        path, offset = ("", "") if target is None else (target.get("path"), target.get("offset"))
        found.append(
            WantedLease(
                lockspace=_said(each, "lockspace"),
                key=_said(each, "key"),
                path=None if not path or path.startswith(_PLACEHOLDERS) else path,
                offset=int(offset) if offset and offset.isdecimal() else None,
            )
        )
    return found


def _exclusive_disks(root: ET.Element) -> list[WantedLease]:
    """Return the leases of disks that only one host may use, as oVirt's metadata names them."""
    found = []
    for device in root.iter():
        facts = {_local(child.tag): (child.text or "").strip() for child in device}
        if _local(device.tag) == "device" and facts.get("shared") == _EXCLUSIVE:
            lockspace, key = facts.get("domainID", ""), facts.get("volumeID", "")
            found.append(WantedLease(lockspace=lockspace, key=key))
    return found


def _said(element: ET.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _local(tag: str) -> str:
    """Return an element's name without its name space."""
    return tag.rpartition("}")[2]


def findings(
    definition: VmDefinition, place: LeasePlace, *, vm_id: str, name: str
) -> list[Finding]:
    """Return what is wrong with a definition; without the engine's lease nothing is started."""
    found = []
    if not any(lease.is_at(place) for lease in definition.leases):
        found.append(
            Finding(
                what="the VM's definition does not name the engine's lease "
                f"{place.lockspace}:{place.resource} at {place.path}:{place.offset}: libvirt would "
                "start the VM without it",
                mend="in the engine, let the VM's disk be `shared: exclusive`, or add a <lease>",
            )
        )
    if vm_id != definition.vm_id:
        found.append(
            Finding(
                what=f"the VM's definition is that of the VM {definition.vm_id}, not {vm_id}",
                mend="set hypervisor.vm_id, or refresh vm.conf",
            )
        )
    if name != definition.name:
        found.append(
            Finding(
                what=f"the VM's definition calls it {definition.name}, not {name}",
                mend=f"set hypervisor.name to {definition.name}: its process is found by it",
            )
        )
    return found
