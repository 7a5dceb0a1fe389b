"""Whether firewalld lets other hosts reach the ports that a move of the VM needs here."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Optional

import attrs

from he_fsm.runtime.ports import Finding, Port

_PROGRAM: Final = "firewall-cmd"
_ANSWERS_WITHIN_S: Final = 3.0
# A zone that lets everything in. Source: firewalld.zone(5).
_OPEN: Final = "ACCEPT"


@attrs.frozen
class Zone:
    """A zone of firewalld: what it lets in; `ranges` are of TCP, both ends included."""

    name: str
    is_open: bool
    ranges: tuple[tuple[int, int], ...]
    services: tuple[str, ...] = ()


def firewall_findings(ports: Iterable[Port]) -> Iterator[Finding]:
    """
    Name the ports that no active zone of firewalld lets in.

    Nothing is said where firewalld does not run. Rules that somebody has made by nftables or
    iptables alone are not judged: whether a port is reached, the other hosts' doctors find out.
    """
    program = shutil.which(_PROGRAM)
    if program is None or _ask(program, "--state") is None:
        return
    zones = list(_zones(program))
    for port in ports:
        if zones and not any(lets_in(zone, port) for zone in zones):
            words = str(port.first) if port.last == port.first else f"{port.first}-{port.last}"
            yield Finding(
                what=f"firewalld does not let in TCP {words}, which {port.purpose} needs",
                mend=f"firewall-cmd --permanent --add-port={words}/tcp && firewall-cmd --reload",
                is_fatal=False,
            )


def lets_in(zone: Zone, port: Port) -> bool:
    """Whether a zone lets in all of a range, by one of its own or by several beside each other."""
    if zone.is_open:
        return True
    wanted = port.first
    for first, last in sorted(zone.ranges):
        if first <= wanted <= last:
            wanted = last + 1
    return wanted > port.last


def _zones(program: str) -> Iterator[Zone]:
    active = parsed_names(_ask(program, "--get-active-zones") or "")
    default = (_ask(program, "--get-default-zone") or "").strip()
    # No interface is in a zone of its own: all are in the default one.
    for name in active or ([default] if default else []):
        listed = _ask(program, f"--zone={name}", "--list-all")
        if listed is None:
            continue
        zone = parsed_zone(name, listed)
        found = list(zone.ranges)
        for service in zone.services:
            found += parsed_zone(name, _ask(program, f"--info-service={service}") or "").ranges
        yield attrs.evolve(zone, ranges=tuple(found))


def parsed_names(text: str) -> list[str]:
    """Read the names of zones: what is indented says which interfaces and sources are in them."""
    # Since 1.3 the default zone has a word behind its name.
    return [line.split()[0] for line in text.splitlines() if line[:1].strip()]


def parsed_zone(name: str, text: str) -> Zone:
    """Read what firewall-cmd lists of a zone, or says of a service: lines `key: words`."""
    pairs = {}
    for line in text.splitlines():
        key, colon, words = line.strip().partition(":")
        if colon:
            pairs[key] = words.split()
    ranges = tuple(found for word in pairs.get("ports", ()) if (found := _range(word)))
    is_open = pairs.get("target", [""])[:1] == [_OPEN]
    return Zone(name, is_open, ranges, tuple(pairs.get("services", ())))


def _range(word: str) -> Optional[tuple[int, int]]:
    numbers, _, protocol = word.partition("/")
    first, _, last = numbers.partition("-")
    if protocol != "tcp" or not first.isdigit() or not (last or first).isdigit():
        return None
    return int(first), int(last or first)


def _ask(program: str, *words: str) -> Optional[str]:
    """Return what it prints; None: it can't, or does not want to, answer."""
    command: Sequence[str] = (program, *words)
    try:
        done = subprocess.run(  # noqa: S603 - the system's program, and a list of words
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWERS_WITHIN_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
