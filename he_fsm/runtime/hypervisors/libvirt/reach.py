"""Whether the domain of this host can move to the others: their daemons, and their CPUs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final
from xml.etree import ElementTree as ET

from he_fsm.errors import HypervisorError
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.hypervisors.libvirt.connection import Connection
from he_fsm.runtime.hypervisors.libvirt.section import LibvirtConfig
from he_fsm.runtime.ports import Finding, Peer

_ANSWERS_WITHIN_S: Final = 2.0
# What libvirt answers where a host can't run a CPU. Source: libvirt-host.h, virCPUCompareResult.
_INCOMPATIBLE: Final = 0
# A domain without `<cpu>`, or with a model that each host's QEMU emulates, has no such need.
_AS_THE_HOST: Final = ("host-passthrough", "host-model", "maximum")


def reach(config: Config, peers: Sequence[Peer]) -> Iterator[Finding]:
    """
    Ask the libvirt daemon of each other host whether it would run this host's domain.

    Nothing is moved. Each daemon that does not answer costs two seconds.
    """
    section: LibvirtConfig = config.hypervisor
    if section.migrate.peers is None:
        return
    cpu = _cpu_here(section)
    for peer in peers:
        address = section.migrate.address_of(peer) or ""
        where = f"hypervisor.migrate.peers: host {peer.host_id} at {address}"
        try:
            other = Connection.opened(address, _ANSWERS_WITHIN_S)
        except HypervisorError as error:
            yield Finding(
                what=f"{where}: {error}",
                mend="check its name, its certificates, the firewall, and that libvirt listens",
                is_fatal=False,
            )
            continue
        try:
            yield from _unlike(where, cpu, other)
        finally:
            other.close()


def _unlike(where: str, cpu: str, other: Connection) -> Iterator[Finding]:
    try:
        runs = not cpu or runs_cpu(other, cpu)
    except HypervisorError as error:
        yield Finding(what=f"{where}: {error}", is_fatal=False)
        return
    if not runs:
        yield Finding(
            what=f"{where}: its CPU lacks what the domain has here, so it can't move there",
            mend="virsh hypervisor-cpu-baseline says which <cpu> all hosts can run",
            is_fatal=False,
        )


def runs_cpu(other: Connection, cpu: str) -> bool:
    """
    Whether a host's CPU has all that *cpu* has, a `<cpu>` as in a host's capabilities.

    Raises:
        HypervisorError: its daemon can't say.
    """
    answer: Any = other.call("compare CPUs", lambda: other.raw.compareCPU(cpu, 0))
    return bool(answer != _INCOMPATIBLE)


def _cpu_here(section: LibvirtConfig) -> str:
    """Return this host's CPU where the domain has the same; empty: it needs no certain one."""
    try:
        here = Connection.opened(section.uri, _ANSWERS_WITHIN_S)
    except HypervisorError:
        # What this host lacks is said elsewhere.
        return ""
    try:
        domain = here.domain(section.domain)
        if domain is None:
            return ""
        mode = ET.fromstring(here.xml(domain, is_live=False)).find("cpu")  # noqa: S314 - libvirt's
        if mode is None or mode.get("mode") not in _AS_THE_HOST:
            return ""
        capabilities = here.call("ask for its capabilities", here.raw.getCapabilities)
        cpu = ET.fromstring(capabilities).find("host/cpu")  # noqa: S314 - libvirt's own
        return "" if cpu is None else ET.tostring(cpu, encoding="unicode")
    except (HypervisorError, ET.ParseError):
        return ""
    finally:
        here.close()
