"""The hypervisor `vdsm`, as a configuration names it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Optional

from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import lacking, nearest, refusal
from he_fsm.errors import ConfigError, HypervisorError
from he_fsm.runtime import registry
from he_fsm.runtime.config.ovirt.connection import Connection, connection_of
from he_fsm.runtime.config.ovirt.files import deployment_of
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.doctor.certificates import ending_soon
from he_fsm.runtime.hypervisors.lock_manager import driver_findings
from he_fsm.runtime.hypervisors.vdsm.access import VdsmVm
from he_fsm.runtime.hypervisors.vdsm.definition import VmDefinition, findings, load
from he_fsm.runtime.hypervisors.vdsm.here import VdsmSettings
from he_fsm.runtime.hypervisors.vdsm.hypervisor import VdsmHypervisor
from he_fsm.runtime.hypervisors.vdsm.section import PLACES, VDSM_PORT, VdsmConfig
from he_fsm.runtime.kinds import HypervisorKind, LeaseKind
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.ports import (
    Finding,
    Hypervisor,
    LeaseSight,
    MovableLease,
    Port,
    VmAccess,
    VmByHand,
)
from he_fsm.runtime.vdsm.choose import open_client
from he_fsm.runtime.vdsm.connection import Address
from he_fsm.runtime.vdsm.interface import Listener, VdsmClient
from he_fsm.runtime.vm_orders.vdsm import VdsmByHand

_WHO: Final = 'the hypervisor "vdsm"'
_MANAGER: Final = "vdsm"
# A vdsm that hangs must not hold up the agent's start (seconds).
_LOOK_S: Final = 0.8
# Source: libvirt, remote.html, and migration_port_min and _max of its qemu.conf.
_LIBVIRT_PORT: Final = 16514
_MEMORY_PORTS: Final = (49152, 49215)


def connects(section: VdsmConfig) -> Callable[[Optional[Listener]], VdsmClient]:
    """Return what makes a client of the vdsm of a section."""
    address = Address(section.host, section.port, section.certificates)

    def connect(listener: Optional[Listener]) -> VdsmClient:
        return open_client(address, listener, answer_s=section.deadline_s)

    return connect


def make(config: Config, lease: MovableLease) -> Hypervisor:
    """
    Make the adapter; libvirt, which vdsm uses, takes the lease by itself.

    Raises:
        ConfigError: these leases can't be seen from outside.
    """
    del lease
    policy = config.policy
    rules = Rules(io_timeout_s=policy.io_timeout_s, watchdog_s=policy.watchdog_s)
    settings = VdsmSettings(
        host_id=config.host.id,
        run_dir=config.run_dir,
        vm_id=_vm_id(config),
        config=config.hypervisor,
        lease_wait_s=rules.expiry_s,
    )
    return VdsmHypervisor(settings, _sight(config), connects(config.hypervisor))


def access(config: Config) -> VmAccess:
    """Make what finds the VM's process by libvirt's pid file."""
    section: VdsmConfig = config.hypervisor
    return VdsmVm(config.run_dir, section, _vm_id(config), connects(section))


def by_hand(config: Config) -> VmByHand:
    """Make what a person of this host orders vdsm with, as oVirt's own command does."""
    section: VdsmConfig = config.hypervisor

    def connection() -> Connection:
        found = {} if config.ovirt is None else deployment_of(config.ovirt)
        return connection_of({key: value.text for key, value in found.items()})

    return VdsmByHand(
        client=connects(section)(None),
        vm_id=_vm_id(config),
        conf=section.conf,
        vet=lambda definition: _vet(config, definition),
        connection=connection,
        domain_id=config.storage.domain_id or "",
    )


def _vet(config: Config, definition: VmDefinition) -> None:
    """Raise an error where a definition must not be started here now, as the agent would not."""
    section: VdsmConfig = config.hypervisor
    sight = _sight(config)
    wrong = findings(definition, sight.place, vm_id=_vm_id(config), name=section.name)
    for finding in (*wrong, *driver_findings(section.driver_conf, starts_paused=False)):
        if finding.is_fatal:
            raise HypervisorError(str(finding))
    seen = sight.seen()
    if not seen.is_joined:
        msg = f"host {config.host.id} has not joined the lockspace: without it there is no lease"
        raise HypervisorError(msg)
    left_s = None if seen.free_at is None else seen.free_at - time.monotonic()
    if seen.owner is not None and (left_s is None or left_s > 0):
        when = "" if left_s is None else f"; it can be taken in {left_s:.0f} s"
        msg = f"host {seen.owner} holds the engine's lease{when}"
        raise HypervisorError(msg)


def check(config: Config, tree: Tree) -> None:
    """Refuse a VM that can't be judged, or named, or kept apart."""
    if config.engine.health.url is None:
        raise lacking(tree, ("engine", "health"), "url", _WHO)
    if not _vm_id(config):
        raise lacking(tree, ("hypervisor",), "vm_id", _WHO)
    if config.leases != _MANAGER:
        # safety: vdsm joins and leaves the lockspace in which its VM has the lease.
        message = (
            "kind vdsm has its leases where vdsm has joined the lockspace of a storage domain; "
            "write 'leases: vdsm'"
        )
        node = nearest(tree, "leases") if "leases" in tree.pairs else nearest(tree, "hypervisor")
        raise refusal(node, message)
    peers = config.hypervisor.migrate.peers
    if not any(place in peers for place in PLACES):
        node = nearest(tree, "hypervisor", "migrate", "peers")
        raise refusal(node, f"expected {' or '.join(PLACES)} in it, or all hosts have one address")


def peer_name(config: Config, host_id: int) -> Optional[str]:
    """Return the name of another host's vdsm; None: only its record tells."""
    peers: str = config.hypervisor.migrate.peers
    if any(place in peers for place in PLACES[1:]):
        return None
    return peers.replace(PLACES[0], str(host_id)).partition(":")[0]


def needs(config: Config) -> Sequence[Finding]:
    """Need a definition with the engine's lease, libvirt's lock manager, and vdsm."""
    driver = driver_findings(config.hypervisor.driver_conf, starts_paused=False)
    return (*driver, *_definition(config), *_vdsm(config))


def ports(config: Config) -> Sequence[Port]:
    """Return vdsm's, libvirt's, and those of the QEMU that takes the memory."""
    number = config.hypervisor.migrate.peers.rpartition(":")[2]
    own = int(number) if number.isdigit() else VDSM_PORT
    ranges = ((own, own), (_LIBVIRT_PORT, _LIBVIRT_PORT), _MEMORY_PORTS)
    return [Port(first, last, "a move to this host") for first, last in ranges]


def _definition(config: Config) -> Iterator[Finding]:
    section: VdsmConfig = config.hypervisor
    try:
        definition = load(section.conf)
    except HypervisorError as error:
        # It may come yet; the next start says so.
        yield Finding(what=str(error), is_fatal=False, path=section.conf)
        return
    place = _sight(config).place
    yield from findings(definition, place, vm_id=_vm_id(config), name=section.name)


def _vdsm(config: Config) -> Iterator[Finding]:
    section: VdsmConfig = config.hypervisor
    certificates = section.certificates
    if certificates is not None:
        yield from ending_soon(certificates.certificate)
    client = connects(section)(None)
    try:
        client.call("Host.ping2", timeout_s=min(_LOOK_S, section.deadline_s))
    except HypervisorError as error:
        # vdsm may be started later; the agent waits for it.
        mend = "systemctl start vdsmd, and run as the user vdsm, who may read its certificates"
        yield Finding(what=str(error), mend=mend, is_fatal=False)
    finally:
        client.close()


def _vm_id(config: Config) -> str:
    return config.hypervisor.vm_id or config.engine.vm_id or ""


def _sight(config: Config) -> LeaseSight:
    kind: LeaseKind = registry.load(registry.LEASES, config.leases)
    if kind.sight is None:
        msg = f"kind vdsm needs leases that a daemon takes: leases: vdsm, not {config.leases}"
        raise ConfigError(msg)
    return kind.sight(config)


KIND: Final = HypervisorKind(
    section=VdsmConfig,
    make=make,
    access=access,
    check=check,
    needs=needs,
    peer_name=peer_name,
    ports=ports,
    by_hand=by_hand,
)
