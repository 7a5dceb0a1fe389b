"""The leases `embedded`, as a configuration names them."""

from __future__ import annotations

from typing import Final

from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.kinds import LeaseKind, Made, Plan
from he_fsm.runtime.leases.files.movable import MovableEmbedded
from he_fsm.runtime.leases.files.records import ENGINE_FILE, create_lockspace
from he_fsm.runtime.leases.files.stored import EmbeddedStored
from he_fsm.runtime.ports import MovableLease, StoredLeases

# Where a VM that knows nothing of leases has its own looked after, in the host's run folder.
LEASE_SOCKET: Final = "vm.lease"


def lease(config: Config) -> MovableLease:
    """Make what takes the engine's lease, and hands it over when the VM moves."""
    return MovableEmbedded(
        folder=config.storage.leases,
        host_id=config.host.id,
        io_timeout_s=config.policy.io_timeout_s,
        watchdog_s=config.policy.watchdog_s,
        socket=config.run_dir / LEASE_SOCKET,
    )


def set_up(config: Config) -> Made:
    """Make the folder and its files."""
    folder = config.storage.leases
    engine = folder / ENGINE_FILE
    is_new = not engine.exists()
    create_lockspace(folder)
    return Made(what=f"leases in {folder}", is_new=is_new, for_group=(folder, engine))


def plan(config: Config) -> Plan:
    """Return what `set_up` would make: files in a folder, beside all others."""
    folder = config.storage.leases
    return Plan(what=f"leases in {folder}", is_new=not (folder / ENGINE_FILE).exists())


def stored(config: Config) -> StoredLeases:
    """Make what writes the leases anew."""
    return EmbeddedStored(config.storage.leases)


KIND: Final = LeaseKind(
    maker="he_fsm.runtime.leases.files.renewer:make",
    lease=lease,
    set_up=set_up,
    plan=plan,
    stored=stored,
)
