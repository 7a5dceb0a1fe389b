"""
What an answer may be: functions from its text to its value.

Each raises `ValueError` with the end of a sentence that begins with what was given: "is not …".
"""

from __future__ import annotations

import ipaddress
import re
import shlex
import signal
from collections.abc import Callable
from typing import Final, Union
from urllib.parse import urlsplit

Value = Union[str, int, bool]
Reader = Callable[[str], Value]

_YES: Final = frozenset(("y", "yes", "true", "t"))
_NO: Final = frozenset(("n", "no", "false", "f"))
# A label of a name in the DNS (RFC 1123), and the whole of it.
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_NAME_MAX: Final = 253
_NIC: Final = re.compile(r"[^\s/:,]{1,15}")
_MAC: Final = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_IQN: Final = re.compile(r"(iqn\.\d{4}-\d{2}\.[^\s:]+(:\S+)?)|(eui\.[0-9A-Fa-f]{16})")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# As systemd.unit(5) names units that run something.
_UNIT: Final = re.compile(r"[\w:.\\@-]{1,240}\.(service|target|scope|slice|mount)", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]+", re.ASCII)


def one_of(*words: str) -> Reader:
    """Return a reader of one of these words."""

    def read(text: str) -> Value:
        if text not in words:
            msg = f"is none of {', '.join(words)}"
            raise ValueError(msg)
        return text

    return read


def whole(minimum: int, maximum: int) -> Reader:
    """Return a reader of a whole number within limits, both included."""

    def read(text: str) -> Value:
        if not _DIGITS.fullmatch(text) or not minimum <= int(text) <= maximum:
            msg = f"is no whole number from {minimum} to {maximum}"
            raise ValueError(msg)
        return int(text)

    return read


def yes_no(text: str) -> Value:
    """Read Yes or No, in any case, or the first letter."""
    word = text.lower()
    if word not in _YES | _NO:
        msg = "is neither Yes nor No"
        raise ValueError(msg)
    return word in _YES


def line(text: str) -> Value:
    """Read a text that is not empty, and printable."""
    if not text or not text.isprintable():
        msg = "is no printable text"
        raise ValueError(msg)
    return text


def password(text: str) -> Value:
    """Read a password: one printable line."""
    if not text:
        msg = "is empty: a password has at least one character"
        raise ValueError(msg)
    if not text.isprintable():
        # Never shown, not even the character.
        msg = "has a character that can't be typed"
        raise ValueError(msg)
    return text


def path(text: str) -> Value:
    """Read an absolute path."""
    if not text.startswith("/") or not text.isprintable() or "/../" in f"{text}/":
        msg = "is no absolute path like /srv/he-fsm"
        raise ValueError(msg)
    return text.rstrip("/") or "/"


def device(text: str) -> Value:
    """Read the path of a block device."""
    if not text.startswith("/dev/") or not text.isprintable():
        msg = "is no block device like /dev/disk/by-id/wwn-0x5000"
        raise ValueError(msg)
    return text


def remote_path(text: str) -> Value:
    """Read HOST:/PATH, as mount takes it; an address of IPv6 stands in brackets."""
    host, colon, rest = text.rpartition(":/")
    if not colon or not rest or not _is_host(host.strip("[]")) or not text.isprintable():
        msg = "is no connection path like host:/path"
        raise ValueError(msg)
    return text


def gluster_path(text: str) -> Value:
    """Read HOST:/VOLUME."""
    host, colon, volume = text.partition(":/")
    if not colon or not _is_host(host) or not _WORD.fullmatch(volume):
        msg = "is no volume of glusterfs like host:/volume"
        raise ValueError(msg)
    return text


def portals(text: str) -> Value:
    """Read the addresses of an iSCSI portal, separated by commas."""
    parts = text.split(",")
    if not all(_is_host(part) for part in parts):
        msg = "is no address of an iSCSI portal like 192.0.2.10"
        raise ValueError(msg)
    return text


def target(text: str) -> Value:
    """Read the name of an iSCSI target."""
    if not _IQN.fullmatch(text):
        msg = "is no iSCSI target like iqn.2026-11.com.example:engine"
        raise ValueError(msg)
    return text


def address(text: str) -> Value:
    """Read an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        msg = "is no IP address like 192.0.2.1"
        raise ValueError(msg) from None
    return text


def cidr(text: str) -> Value:
    """Read the VM's own address with its prefix."""
    try:
        found = ipaddress.ip_interface(text)
    except ValueError:
        found = None
    if found is None or "/" not in text:
        msg = "is no address with a prefix like 192.0.2.20/24"
        raise ValueError(msg)
    return text


def fqdn(text: str) -> Value:
    """Read a fully qualified name in the DNS, which is no address."""
    name = text.rstrip(".")
    labels = name.split(".")
    is_name = len(name) <= _NAME_MAX and all(_LABEL.fullmatch(label) for label in labels)
    if not is_name or len(labels) == 1 or labels[-1].isdigit():
        msg = "is no fully qualified name like engine.example.com"
        raise ValueError(msg)
    return name.lower()


def hostname(text: str) -> Value:
    """Read the name of a host, or its address."""
    if not _is_host(text):
        msg = "is no name of a host like host1.example.com"
        raise ValueError(msg)
    return text


def url(text: str) -> Value:
    """Read the address of a page."""
    try:
        parts = urlsplit(text)
        # Asking for the port is what checks it.
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or not text.isprintable() or " " in text:
        msg = "is no address of a page like http://engine.example.com/health"
        raise ValueError(msg)
    return text


def nic(text: str) -> Value:
    """Read the name of a network interface."""
    if not _NIC.fullmatch(text):
        msg = "is no network interface like eno1"
        raise ValueError(msg)
    return text


def mac(text: str) -> Value:
    """Read a MAC address of one card, no group's."""
    if not _MAC.fullmatch(text) or int(text[:2], 16) & 1:
        msg = "is no MAC address of a card like 52:54:00:12:34:56"
        raise ValueError(msg)
    return text.lower()


def uuid(text: str) -> Value:
    """Read a UUID."""
    if not _UUID.fullmatch(text.lower()):
        msg = "is no UUID like 9f6b3a52-5f2b-4d0c-9d57-0d8f2f6a1b3c"
        raise ValueError(msg)
    return text.lower()


def word(text: str) -> Value:
    """Read a name of letters, digits, and . _ + -."""
    if not _WORD.fullmatch(text):
        msg = "is no name of letters, digits, and . _ + -"
        raise ValueError(msg)
    return text


def words(text: str) -> Value:
    """Read a command; words with spaces stand in quotes, as in a shell, which does not run it."""
    try:
        found = shlex.split(text) if text.isprintable() else []
    except ValueError:
        found = []
    if not found or not found[0]:
        msg = "is no command like /usr/bin/program --option 'with spaces'"
        raise ValueError(msg)
    return text


def stop(text: str) -> Value:
    """Read the name of a signal, or a command."""
    if text.startswith("SIG") and text not in signal.Signals.__members__:
        msg = "is no signal like SIGTERM"
        raise ValueError(msg)
    return text if text in signal.Signals.__members__ else words(text)


def page_or_words(text: str) -> Value:
    """Read the address of a page, or a command."""
    return url(text) if text.startswith(("http:", "https:")) else words(text)


def unit(text: str) -> Value:
    """Read the name of a unit of systemd."""
    if not _UNIT.fullmatch(text):
        msg = "is no unit of systemd like postgresql.service"
        raise ValueError(msg)
    return text


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return bool(text) and all(_LABEL.fullmatch(label) for label in text.split("."))
    return True
