"""The leases `vdsm`, as a configuration names them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import lacking, nearest, refusal
from he_fsm.errors import ConfigError, LockspaceError, SanlockMissingError
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.kinds import Guard, LeaseKind, Made, Plan
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.daemon import module
from he_fsm.runtime.leases.sanlock.hold import SanlockHolder
from he_fsm.runtime.leases.sanlock.sight import SanlockSight
from he_fsm.runtime.leases.sanlock.watching.guard import LeaseGuard
from he_fsm.runtime.leases.vdsm.joins import ServeSettings, VdsmPlace
from he_fsm.runtime.leases.vdsm.section import (
    NAME,
    VdsmLeasesConfig,
    domain_of,
    section_of,
    settings_of,
)
from he_fsm.runtime.ports import Finding, LeaseSight, MovableLease, VmAccess

_WHO: Final = 'the leases "vdsm"'
_SOCKET: Final = "sanlock.sock"


def settings(config: Config) -> str:
    """Return the settings that `serve.make` reads."""
    return ServeSettings(sanlock=settings_of(config), vdsm=_place(config)).to_text()


def _place(config: Config) -> VdsmPlace:
    section = config.hypervisor
    if section.kind != NAME:
        msg = f"leases: vdsm are those of hypervisor: {{kind: vdsm}}, not of {section.kind}"
        raise ConfigError(msg)
    files = section.certificates
    key, cert, ca = ("", "", "") if files is None else (files.key, files.certificate, files.ca)
    return VdsmPlace(
        host=section.host,
        port=section.port,
        deadline_s=section.deadline_s,
        key=str(key),
        cert=str(cert),
        ca=str(ca),
    )


def lease(config: Config) -> MovableLease:
    """Make what names the engine's lease; vdsm's libvirt takes it for the VM."""
    return SanlockHolder(settings=settings_of(config), host_id=config.host.id)


def sight(config: Config) -> LeaseSight:
    """Make what sees the lease that the VM has."""
    return SanlockSight(settings_of(config), config.host.id, _rules(config))


def set_up(config: Config) -> Made:
    """Make nothing: vdsm makes a domain's leases with the domain, and a disk's with the disk."""
    found = settings_of(config)
    for path in (found.path, found.resource_path):
        if not Path(path).exists():
            msg = f"there is no {path}: oVirt's deployment makes the storage domain and the disk"
            raise LockspaceError(msg)
    return Made(what=f"vdsm's leases of the domain {found.lockspace}", is_new=False)


def plan(config: Config) -> Plan:
    """Return that nothing would be made."""
    return Plan(what=set_up(config).what, is_new=False)


def guard(config: Config, access: VmAccess) -> Guard:
    """Make what ends a VM that sanlock no longer looks after."""
    return LeaseGuard(settings_of(config), config.host.id, access, _rules(config))


def _rules(config: Config) -> Rules:
    policy = config.policy
    return Rules(io_timeout_s=policy.io_timeout_s, watchdog_s=policy.watchdog_s)


def needs(config: Config) -> Sequence[Finding]:
    """Need sanlock's Python module, its daemon, and a domain that vdsm has connected."""
    found = []
    try:
        module.check()
    except SanlockMissingError:
        mend = "install python3-sanlock, and use the system's Python"
        found.append(Finding(what="sanlock's Python module can't be imported", mend=mend))
    socket = section_of(config).run_dir / _SOCKET
    if not socket.exists():
        mend = "systemctl start sanlock"
        what = f"the sanlock daemon does not run: there is no {socket}"
        found.append(Finding(what=what, mend=mend, is_fatal=False))
    try:
        settings_of(config)
    except ConfigError as error:
        found.append(Finding(what=str(error)))
    return found


def check(config: Config, tree: Tree) -> None:
    """Refuse leases that nobody joins, or of which it is not said where they are."""
    section = section_of(config)
    if config.hypervisor.kind != NAME:
        message = "leases: vdsm are those of a VM of vdsm; write 'hypervisor: {kind: vdsm}'"
        raise refusal(nearest(tree, "leases"), message)
    if not domain_of(config):
        raise lacking(tree, (NAME,), "domain", _WHO)
    if not section.volume:
        raise lacking(tree, (NAME,), "volume", _WHO)
    if section.resource_path is None and not section.image:
        raise lacking(tree, (NAME,), "image", _WHO)
    try:
        found = settings_of(config)
    except ConfigError:
        # It may be connected later: `needs` says so.
        return
    is_group = Path(found.path).parent.parent == Path("/dev")
    if is_group and section.resource_path is None and section.resource_offset is None:
        message = (
            f"the domain {found.lockspace} is a volume group: write where in its device `leases` "
            "the engine's lease begins, as 'vdsm-client Volume getInfo' says"
        )
        raise refusal(nearest(tree, NAME, "resource_offset"), message)
    try:
        found.daemon_io_timeout(config.policy.io_timeout_s)
    except LockspaceError as error:
        raise refusal(nearest(tree, "policy", "io_timeout_s"), str(error)) from error


KIND: Final = LeaseKind(
    maker="he_fsm.runtime.leases.vdsm.serve:make",
    lease=lease,
    set_up=set_up,
    plan=plan,
    settings=settings,
    section=VdsmLeasesConfig,
    check=check,
    needs=needs,
    guard=guard,
    sight=sight,
    keeps_host_id=True,
)
