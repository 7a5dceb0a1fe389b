"""A domain's XML as a value: what matters for a VM that is kept highly available."""

from __future__ import annotations

from typing import Final, Optional
from xml.etree import ElementTree as ET

import attrs

from he_fsm.errors import HypervisorError

# Elements that name a file besides the disks'. Source: libvirt, formatdomain.html.
_FILES: Final = ("os/kernel", "os/initrd", "os/dtb", "os/nvram")


@attrs.frozen(kw_only=True)
class Lease:
    """A `<lease>` element: what libvirt's lock manager takes before the domain executes."""

    lockspace: str
    key: str
    path: str
    offset: int


@attrs.frozen(kw_only=True)
class Disk:
    """
    One disk: the device in the guest, where it comes from, and how it is cached.

    `source_kind` is its attribute `type`: file, block, network, ...; `cache` and `io` are empty
    where the definition leaves them to libvirt.
    """

    target: str
    source_kind: str
    source: str
    cache: str
    is_writable: bool
    is_shareable: bool


@attrs.frozen(kw_only=True)
class Screen:
    """A `<graphics>` element: its protocol, where it listens, and its port (-1: not given out)."""

    protocol: str
    address: str
    port: int
    tls_port: int = -1


@attrs.frozen(kw_only=True)
class Definition:
    """One domain; `on_*` as libvirt counts them where they are not written."""

    name: str
    uuid: str
    leases: tuple[Lease, ...]
    disks: tuple[Disk, ...]
    screens: tuple[Screen, ...]
    on_poweroff: str
    on_reboot: str
    on_crash: str
    on_lockfailure: str
    # Files besides disks that the domain needs of a host, and devices that are a host's own.
    files: tuple[str, ...]
    host_devices: int
    # Whether the guest can report a panic of its kernel.
    reports_panics: bool


def read(xml: str) -> Definition:
    """
    Return what a domain's XML says.

    Raises:
        HypervisorError: it is no XML, or not that of a domain.
    """
    try:
        root = ET.fromstring(xml)  # noqa: S314 - libvirt's own, or this host's administrator's
    except ET.ParseError as error:
        msg = f"the domain's XML can't be read: {error}"
        raise HypervisorError(msg) from error
    if root.tag != "domain":
        msg = f"the XML is no domain's: it begins with <{root.tag}>"
        raise HypervisorError(msg)
    return Definition(
        name=_text(root, "name"),
        uuid=_text(root, "uuid"),
        leases=tuple(_lease(each) for each in root.findall("devices/lease")),
        disks=tuple(_disk(each) for each in root.findall("devices/disk")),
        screens=tuple(_screen(each) for each in root.findall("devices/graphics")),
        on_poweroff=_text(root, "on_poweroff", "destroy"),
        on_reboot=_text(root, "on_reboot", "restart"),
        on_crash=_text(root, "on_crash", "destroy"),
        on_lockfailure=_text(root, "on_lockfailure"),
        files=tuple(found for path in _FILES if (found := _text(root, path))),
        host_devices=len(root.findall("devices/hostdev")),
        reports_panics=root.find("devices/panic") is not None,
    )


def with_password(xml: str, password: str, ends_at: str) -> str:
    """
    Return the first `<graphics>` of a domain's XML with another password.

    *ends_at* is libvirt's `passwdValidTo`, in UTC. The rest stays: libvirt changes nothing else of
    a screen while the domain runs.

    Raises:
        HypervisorError: the domain has no screen.
    """
    element = ET.fromstring(xml).find("devices/graphics")  # noqa: S314 - libvirt's own
    if element is None:
        msg = "the domain has no screen: it has no <graphics>"
        raise HypervisorError(msg)
    element.set("passwd", password)
    element.set("passwdValidTo", ends_at)
    return ET.tostring(element, encoding="unicode")


def _lease(element: ET.Element) -> Lease:
    target = element.find("target")
    return Lease(
        lockspace=_text(element, "lockspace"),
        key=_text(element, "key"),
        path=_attribute(target, "path"),
        offset=int(_attribute(target, "offset") or 0),
    )


def _disk(element: ET.Element) -> Disk:
    source, target = element.find("source"), element.find("target")
    names = ("file", "dev", "name", "dir", "volume")
    found = [value for name in names if (value := _attribute(source, name))]
    return Disk(
        target=_attribute(target, "dev"),
        source_kind=element.get("type", "file"),
        source=found[0] if found else "",
        cache=_attribute(element.find("driver"), "cache"),
        is_writable=element.find("readonly") is None
        and element.get("device", "disk") not in ("cdrom", "floppy"),
        is_shareable=element.find("shareable") is not None,
    )


def _screen(element: ET.Element) -> Screen:
    address = element.get("listen", "")
    inner = element.find("listen")
    return Screen(
        protocol=element.get("type", ""),
        address=address or _attribute(inner, "address"),
        port=int(element.get("port", "-1")),
        tls_port=int(element.get("tlsPort", "-1")),
    )


def _text(root: ET.Element, path: str, usual: str = "") -> str:
    return (root.findtext(path) or usual).strip()


def _attribute(element: Optional[ET.Element], name: str) -> str:
    return "" if element is None else element.get(name, "")
