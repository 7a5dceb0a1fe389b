"""The leases `sanlock`, as a configuration names them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import nearest, refusal
from he_fsm.errors import LockspaceError, SanlockMissingError
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.kinds import Guard, LeaseKind, Made, Plan
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock import storage
from he_fsm.runtime.leases.sanlock.daemon import module
from he_fsm.runtime.leases.sanlock.hold import SanlockHolder
from he_fsm.runtime.leases.sanlock.section import (
    NAME_BYTES_MAX,
    SanlockConfig,
    section_of,
    settings_of,
)
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
from he_fsm.runtime.leases.sanlock.sight import SanlockSight
from he_fsm.runtime.leases.sanlock.watching.guard import LeaseGuard
from he_fsm.runtime.ports import Finding, LeaseSight, MovableLease, StoredLeases, VmAccess

_SOCKET: Final = "sanlock.sock"


def settings(config: Config) -> str:
    """Return the settings that `make` reads."""
    return settings_of(config).to_text()


def lease(config: Config) -> MovableLease:
    """Make what takes the engine's lease, and hands it over when the VM moves."""
    return SanlockHolder(settings=settings_of(config), host_id=config.host.id)


def sight(config: Config) -> LeaseSight:
    """Make what sees the lease that another process has for the VM."""
    return SanlockSight(settings_of(config), config.host.id, _rules(config))


def set_up(config: Config) -> Made:
    """Make the areas of the leases; they are for sanlock's own group."""
    found = settings_of(config)
    is_new = storage.initialise(found, config.policy.io_timeout_s)
    return Made(what=f"sanlock's leases in {found.path}", is_new=is_new)


def plan(config: Config) -> Plan:
    """Return what `set_up` would make; other content of those areas would be written over."""
    found = settings_of(config)
    is_new, overwrites = storage.plan(found)
    return Plan(what=f"sanlock's leases in {found.path}", is_new=is_new, overwrites=overwrites)


def stored(config: Config) -> StoredLeases:
    """Make what writes the leases anew."""
    return storage.SanlockStored(settings_of(config), config.policy.io_timeout_s)


def guard(config: Config, access: VmAccess) -> Guard:
    """Make what ends a VM that sanlock no longer looks after."""
    return LeaseGuard(settings_of(config), config.host.id, access, _rules(config))


def _rules(config: Config) -> Rules:
    policy = config.policy
    return Rules(io_timeout_s=policy.io_timeout_s, watchdog_s=policy.watchdog_s)


def needs(config: Config) -> Sequence[Finding]:
    """Need sanlock's Python module, and its daemon."""
    found = []
    try:
        module.check()
    except SanlockMissingError:
        mend = "install python3-sanlock, and use the system's Python"
        found.append(Finding(what="sanlock's Python module can't be imported", mend=mend))
    socket = Path(settings_of(config).run_dir) / _SOCKET
    if not socket.exists():
        # sanlock may be started later; our daemons wait for it.
        mend = "systemctl start sanlock"
        what = f"the sanlock daemon does not run: there is no {socket}"
        found.append(Finding(what=what, mend=mend, is_fatal=False))
    return found


def check(config: Config, tree: Tree) -> None:
    """Refuse names, places and times that sanlock can't have."""
    found = settings_of(config)
    for key, name in (("lockspace", found.lockspace), ("resource", found.resource)):
        if len(name.encode()) > NAME_BYTES_MAX:
            message = f"expected a name of at most {NAME_BYTES_MAX} bytes"
            raise refusal(nearest(tree, "sanlock", key), message)
    ids_max = found.host_id_max
    if ids_max is None:
        message = (
            "expected sectors of 512 bytes with an area of 1 MiB, or of 4096 bytes with one of"
            f" 1, 2, 4 or 8; got {found.sector_bytes} bytes with {section_of(config).area} MiB"
        )
        raise refusal(nearest(tree, "sanlock", "sector"), message)
    if config.host.id > ids_max:
        message = f"expected at most {ids_max} with sanlock's area; got {config.host.id}"
        raise refusal(nearest(tree, "host", "id"), message)
    _check_areas(found, tree)
    try:
        found.daemon_io_timeout(config.policy.io_timeout_s)
    except LockspaceError as error:
        raise refusal(nearest(tree, "policy", "io_timeout_s"), str(error)) from error


def _check_areas(settings: SanlockSettings, tree: Tree) -> None:
    area = settings.align_bytes
    for key, offset in (
        ("offset", settings.offset),
        ("resource_offset", settings.resource_offset),
    ):
        if offset % area:
            message = f"expected a multiple of the area, {area} bytes; got {offset}"
            raise refusal(nearest(tree, "sanlock", key), message)
    is_one = settings.path == settings.resource_path
    if is_one and settings.offset == settings.resource_offset:
        message = "expected another place than that of the host ids' leases"
        raise refusal(nearest(tree, "sanlock", "resource_offset"), message)


KIND: Final = LeaseKind(
    maker="he_fsm.runtime.leases.sanlock.serve:make",
    lease=lease,
    set_up=set_up,
    plan=plan,
    settings=settings,
    section=SanlockConfig,
    check=check,
    needs=needs,
    guard=guard,
    sight=sight,
    own="he_fsm.runtime.leases.sanlock.own:make",
    keeps_host_id=True,
    stored=stored,
)
