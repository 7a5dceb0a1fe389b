"""
`vm.conf`: the VM as oVirt's start command reads it.

White space means nothing in it, `#` begins a comment anywhere, and of a key that stands there
several times the last one counts, but for the three that are lists. A value in braces is a mapping
of texts. Source: ovirt-hosted-engine-setup 2.7.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn, Optional, Union
from xml.etree import ElementTree as ET

from he_fsm.document.lossless import VM
from he_fsm.errors import ConfigError

Spec = Union[str, dict[str, Any]]

# Keys that may stand there several times, and the list that they make.
_LISTS: Final[Mapping[str, str]] = {
    "devices": "devices",
    "drive": "drives",
    "guestNumaNodes": "guestNumaNodes",
}
_SPECS: Final = frozenset(("cpuPinning", "numaTune", "cdrom", "floppy"))
_CUSTOM: Final = "custom_"
_DRIVES: Final = ("hdb", "hdc", "hdd")
# In a value of the old form, which has commas and no braces.
_IDS: Final = frozenset(("domain", "pool", "image", "volume"))
_OVIRT: Final = "http://ovirt.org/vm/1.0"


def params_of(text: str, *, paused: bool = False) -> dict[str, Any]:
    """
    Return what vdsm's `VM.create` gets for a `vm.conf`.

    A file of a release before April 2020 has a value for each property of the VM, and no `xml`;
    vdsm of today refuses it.

    Args:
        text: the file.
        paused: the VM executes nothing at first.

    Raises:
        ConfigError: a value can't be read; the message names the key.
    """
    found: dict[str, Any] = {}
    for entry in VM.read(text):
        _add(found, entry.key, entry.value)
    if paused:
        found["launchPaused"] = "true"
    packed = found.pop("xmlBase64", None)
    if packed is None:
        return found
    xml = _unpacked(packed)
    if found.get("launchPaused") == "true":
        xml = _launched_paused(xml)
    return {"xml": xml}


def _add(found: dict[str, Any], key: str, value: str) -> None:
    if key in _LISTS:
        found.setdefault(_LISTS[key], []).append(spec_of(value, key))
    elif key in _SPECS:
        found[key] = spec_of(value, key)
    elif key.startswith(_CUSTOM):
        found.setdefault("custom", {})[key[len(_CUSTOM) :]] = value
    else:
        found[key] = value
    if key == "vt":
        found["kvmEnable"] = value
    elif key == "imageFile":
        found["hda"] = value
    elif key == "moreImages":
        found.update(zip(_DRIVES, value.split(",")))


def spec_of(text: str, key: str) -> Spec:
    """
    Return a value as oVirt reads it: `{name:value,name:{...}}`, `name:value,name:value`, or a text.

    *key* is for messages.

    Raises:
        ConfigError: a brace is missing, or a name.
    """
    if text.startswith("{"):
        found, rest = _mapping(text[1:], key)
        if rest:
            _refuse(key, f"expected nothing behind the last brace, got {rest[:20]!r}")
        return found
    if "," not in text:
        return text
    pairs = (part.partition(":") for part in text.split(","))
    return {name + ("ID" if name in _IDS else ""): value for name, _, value in pairs}


def _mapping(text: str, key: str) -> tuple[dict[str, Any], str]:
    """Return the mapping that begins behind a brace, and what stands behind its end."""
    found: dict[str, Any] = {}
    rest = text
    while not rest.startswith("}"):
        name, colon, rest = rest.partition(":")
        if not colon or not name or "}" in name:
            _refuse(key, f"expected NAME:VALUE, got {name[:20]!r}")
        if rest.startswith("{"):
            found[name], rest = _mapping(rest[1:], key)
        else:
            end = min(_ends(rest), default=-1)
            if end < 0:
                _refuse(key, "a closing brace is missing")
            found[name], rest = rest[:end], rest[end:]
        if rest.startswith(","):
            rest = rest[1:]
        elif not rest.startswith("}"):
            _refuse(key, "a closing brace is missing")
    return found, rest[1:]


def _ends(text: str) -> Iterator[int]:
    return (place for place in (text.find(","), text.find("}")) if place >= 0)


def _unpacked(packed: str) -> str:
    try:
        return base64.b64decode(packed, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        _refuse("xmlBase64", f"expected a text in base 64: {error}", error)


def _launched_paused(xml: str) -> str:
    """Return a domain's XML whose metadata of oVirt's say that it executes nothing at first."""
    try:
        spaces: Any = ET.iterparse(io.BytesIO(xml.encode()), events=("start-ns",))  # noqa: S314 - as below
        for _, (prefix, uri) in spaces:
            # Else the prefixes would have other names than vdsm's own reader knows.
            ET.register_namespace(prefix, uri)
        root = ET.fromstring(xml)  # noqa: S314 - of this host's own files
    except ET.ParseError as error:
        _refuse("xmlBase64", f"expected a domain's XML: {error}", error)
    vm = root.find(f"metadata/{{{_OVIRT}}}vm")
    if vm is None:
        _refuse("xmlBase64", "the domain has no metadata of oVirt's, where it could pause")
    found = vm.find(f"{{{_OVIRT}}}launchPaused")
    if found is None:
        found = ET.SubElement(vm, f"{{{_OVIRT}}}launchPaused")
    found.text = "true"
    return ET.tostring(root, encoding="unicode")


def _refuse(key: str, why: str, cause: Optional[Exception] = None) -> NoReturn:
    msg = f"vm.conf: {key}: {why}"
    raise ConfigError(msg) from cause
