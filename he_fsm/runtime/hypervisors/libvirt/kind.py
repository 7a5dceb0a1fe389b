"""The hypervisor `libvirt`, as a configuration names it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Optional
from urllib.parse import urlsplit

from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import lacking, nearest, refusal
from he_fsm.errors import ConfigError, HeFsmError, HypervisorError, MissingExtraError
from he_fsm.runtime import registry
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.doctor.certificates import ending_soon
from he_fsm.runtime.hypervisors.libvirt.access import LibvirtVm
from he_fsm.runtime.hypervisors.libvirt.definition.findings import (
    Circumstances,
    findings,
    mended_by,
)
from he_fsm.runtime.hypervisors.libvirt.definition.host import locality
from he_fsm.runtime.hypervisors.libvirt.definition.publishing import published
from he_fsm.runtime.hypervisors.libvirt.definition.reading import read
from he_fsm.runtime.hypervisors.libvirt.holder.settings import HolderSettings
from he_fsm.runtime.hypervisors.libvirt.section import PLACES, LibvirtConfig
from he_fsm.runtime.hypervisors.lock_manager import driver_findings
from he_fsm.runtime.hypervisors.vm_file import STATE
from he_fsm.runtime.kinds import HypervisorKind, LeaseKind
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.ports import (
    Finding,
    Hypervisor,
    LeasePlace,
    LeaseSight,
    MovableLease,
    Peer,
    Port,
    VmAccess,
)

_WHO: Final = 'the hypervisor "libvirt"'
_MANAGER: Final = "sanlock"
# A look at a domain takes milliseconds; a daemon that hangs must not hold up the agent's start.
_LOOK_S: Final = 0.8
# Where libvirt has its own. Source: libvirt, tlscerts.html.
_CERTIFICATES: Final = tuple(
    Path(f"/etc/pki/libvirt/{side}cert.pem") for side in ("server", "client")
)
# Where libvirt listens, and where its QEMUs take the memory of a VM that moves to them. Source:
# libvirt, remote.html, and migration_port_min and _max of qemu.conf.
_DAEMON_PORTS: Final = {"qemu+tls": 16514, "qemu": 16514, "qemu+tcp": 16509, "qemu+ssh": 22}
_MEMORY_PORTS: Final = (49152, 49215)
# Addresses of a daemon of this host, where descriptors can be given to.
_LOCAL: Final = ("qemu", "qemu+unix")
# The version by which libvirt gives QEMU descriptors, as libvirt counts them (8.2.0).
_GIVES_DESCRIPTORS: Final = 8002000


def make(config: Config, lease: MovableLease) -> Hypervisor:
    """
    Make the adapter; libvirt takes the lease by itself, or a holder does.

    Raises:
        MissingExtraError: libvirt's Python module is not installed.
        ConfigError: the leases are not sanlock's.
    """
    try:
        from he_fsm.runtime.hypervisors.libvirt.here import LibvirtSettings  # noqa: PLC0415 - optional
        from he_fsm.runtime.hypervisors.libvirt.hypervisor import LibvirtHypervisor  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error.name, "libvirt", "kind libvirt") from error
    del lease
    policy = config.policy
    rules = Rules(io_timeout_s=policy.io_timeout_s, watchdog_s=policy.watchdog_s)
    settings = LibvirtSettings(
        host_id=config.host.id,
        run_dir=config.run_dir,
        config=config.hypervisor,
        lease_wait_s=rules.expiry_s,
        state_dir=config.state_dir,
        holder=None if config.hypervisor.is_plugin else _holder(config),
    )
    return LibvirtHypervisor(settings, _sight(config))


def access(config: Config) -> VmAccess:
    """Make what finds the domain's process by libvirt's pid file."""
    return LibvirtVm(config.run_dir, config.hypervisor)


def check(config: Config, tree: Tree) -> None:
    """Refuse a domain that can't be judged, or kept apart, or moved."""
    if config.engine.health.url is None:
        raise lacking(tree, ("engine", "health"), "url", _WHO)
    if config.leases != _MANAGER:
        # safety: libvirt's only lock manager that frees the leases of hosts that died.
        message = (
            "kind libvirt has libvirt take the engine's lease by its sanlock plug-in, or a holder "
            "take it from sanlock; write 'leases: sanlock'"
        )
        node = nearest(tree, "leases") if "leases" in tree.pairs else nearest(tree, "hypervisor")
        raise refusal(node, message)
    scheme = urlsplit(config.hypervisor.uri)
    if not config.hypervisor.is_plugin and (scheme.scheme not in _LOCAL or scheme.netloc):
        message = (
            f"with lease: holder, QEMU gets the lease's descriptor by a daemon of this host: write "
            f"an address like {' or '.join(f'{each}:///system' for each in _LOCAL)}"
        )
        raise refusal(nearest(tree, "hypervisor", "uri"), message)
    peers = config.hypervisor.migrate.peers
    if peers is not None and not any(place in peers for place in PLACES):
        node = nearest(tree, "hypervisor", "migrate", "peers")
        raise refusal(node, f"expected {' or '.join(PLACES)} in it, or all hosts have one address")


def peer_name(config: Config, host_id: int) -> Optional[str]:
    """Return the name of another host's libvirt daemon; None: only its record tells."""
    peers = config.hypervisor.migrate.peers
    if peers is None or any(place in peers for place in PLACES[1:]):
        return None
    name: Optional[str] = urlsplit(peers.replace(PLACES[0], str(host_id))).hostname
    return name


def needs(config: Config) -> Sequence[Finding]:
    """Need libvirt's module and daemon, its lock manager, and a domain that is fit to be kept."""
    section: LibvirtConfig = config.hypervisor
    found = list(driver_findings(section.driver_conf, is_plugin=section.is_plugin))
    if find_spec("libvirt") is None:
        return (
            *found,
            Finding(what=str(MissingExtraError.of("libvirt", "libvirt", "kind libvirt"))),
        )
    try:
        found += _domain_findings(config, section)
        if urlsplit(section.migrate.peers or "").scheme.endswith("tls"):
            found += (each for path in _CERTIFICATES for each in ending_soon(path))
    except HypervisorError as error:
        # The daemon may be started later; the agent waits for it.
        mend = "systemctl start libvirtd, and put this user in the group libvirt"
        found.append(Finding(what=str(error), mend=mend, is_fatal=False))
    return found


def _domain_findings(config: Config, section: LibvirtConfig) -> Iterator[Finding]:
    from he_fsm.runtime.hypervisors.libvirt.connection import Connection  # noqa: PLC0415 - optional

    connection = Connection.opened(section.uri, _LOOK_S)
    try:
        if not section.is_plugin:
            yield from _descriptor_findings(connection.version())
        domain = connection.domain(section.domain)
        try:
            xml = None if section.definition is None else published(section).text
        except HeFsmError as error:
            # The next start waits for it, and says so.
            yield Finding(what=str(error), is_fatal=False)
            return
        if domain is None and xml is None:
            yield Finding(
                what=f"libvirt knows no domain {section.domain} on this host",
                mend=f"virsh dumpxml --inactive --security-info {section.domain} on a host that "
                "has it, and virsh define that file here",
            )
            return
        around = Circumstances(
            place=_place(config),
            moves=section.migrate.peers is not None,
            is_autostarted=_is(connection, domain, "autostart"),
            has_saved_state=_is(connection, domain, "hasManagedSaveImage"),
            local_to=locality(config.storage.path),
            is_plugin=section.is_plugin,
        )
        if xml is None:
            xml = connection.xml(domain, is_live=False)
        elif domain is not None and domain.UUIDString() != read(xml).uuid:
            yield Finding(
                what=f"libvirt knows a domain {section.domain} on this host with another UUID than "
                f"that of {section.definition}",
                mend=f"virsh undefine {section.domain} on this host",
            )
        found = findings(read(xml), around)
        if section.definition is not None:
            found = mended_by(found, section.domain, "he-fsm vm edit")
        yield from found
    finally:
        connection.close()


def _descriptor_findings(daemon: int) -> Iterator[Finding]:
    """Need what gives QEMU the lease's descriptor, in the module and in the daemon."""
    import libvirt  # noqa: PLC0415 - optional

    for what, version in (("libvirt's Python module", libvirt.getVersion()), ("libvirt", daemon)):
        if version < _GIVES_DESCRIPTORS:
            yield Finding(
                what=f"{what} is older than 8.2, and gives QEMU no descriptor of the lease, as "
                "lease: holder needs it",
                mend="use libvirt 8.2 or later, or lease: plugin",
            )


def _is(connection: Any, domain: Any, question: str) -> bool:
    """Ask libvirt something about a domain; of one that it does not know yet, nothing is so."""
    return domain is not None and bool(connection.call(question, getattr(domain, question)))


def _holder(config: Config) -> HolderSettings:
    """Return what a holder of this host is begun with, but for the domain's process."""
    kind: LeaseKind = registry.load(registry.LEASES, config.leases)
    if not kind.own:
        msg = f"lease: holder needs leases that a process can keep: sanlock, not {config.leases}"
        raise ConfigError(msg)
    return HolderSettings(
        own=kind.own,
        lease=kind.settings(config),
        host_id=config.host.id,
        state=config.run_dir / STATE,
    )


def reach(config: Config, peers: Sequence[Peer]) -> Iterable[Finding]:
    """Ask the other hosts' daemons; without libvirt's module nobody is asked."""
    if find_spec("libvirt") is None:
        return ()
    from he_fsm.runtime.hypervisors.libvirt import reach as asked  # noqa: PLC0415 - optional

    return asked.reach(config, peers)


def ports(config: Config) -> Sequence[Port]:
    """Return those of libvirt's daemon, and of the QEMU that takes the memory."""
    migrate = config.hypervisor.migrate
    if migrate.peers is None:
        return ()
    address = urlsplit(migrate.peers)
    # An address that names a placeholder as its port is known to nobody before.
    with suppress(ValueError):
        own = address.port or _DAEMON_PORTS.get(address.scheme)
        daemon = [] if own is None else [Port(own, own, "a move to this host")]
        if migrate.tunnelled or migrate.data is not None or own is None:
            return daemon
        return (*daemon, Port(*_MEMORY_PORTS, "a move to this host"))
    return ()


def _sight(config: Config) -> LeaseSight:
    kind: LeaseKind = registry.load(registry.LEASES, config.leases)
    if kind.sight is None:
        msg = f"kind libvirt needs leases that libvirt takes: leases: sanlock, not {config.leases}"
        raise ConfigError(msg)
    return kind.sight(config)


def _place(config: Config) -> LeasePlace:
    return _sight(config).place


KIND: Final = HypervisorKind(
    section=LibvirtConfig,
    make=make,
    access=access,
    check=check,
    needs=needs,
    peer_name=peer_name,
    reach=reach,
    ports=ports,
)
