"""The hypervisor `vdsm`, as a configuration names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Optional

from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import lacking, nearest, refusal
from he_fsm.errors import ConfigError, HypervisorError
from he_fsm.runtime import registry
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.hypervisors.lock_manager import driver_findings
from he_fsm.runtime.hypervisors.vdsm.access import VdsmVm
from he_fsm.runtime.hypervisors.vdsm.definition import findings, load
from he_fsm.runtime.hypervisors.vdsm.here import VdsmSettings
from he_fsm.runtime.hypervisors.vdsm.hypervisor import VdsmHypervisor
from he_fsm.runtime.hypervisors.vdsm.section import PLACES, VdsmConfig
from he_fsm.runtime.kinds import HypervisorKind, LeaseKind
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.ports import Finding, Hypervisor, LeaseSight, MovableLease, VmAccess
from he_fsm.runtime.vdsm.choose import open_client
from he_fsm.runtime.vdsm.connection import Address
from he_fsm.runtime.vdsm.interface import Listener, VdsmClient

_WHO: Final = 'the hypervisor "vdsm"'
_MANAGER: Final = "vdsm"
# A vdsm that hangs must not hold up the agent's start (seconds).
_LOOK_S: Final = 0.8


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
)
