"""What a decision asks the runtime to do, as values."""

from __future__ import annotations

from typing import Union

import attrs


@attrs.frozen
class StartVm:
    """Take the engine's lease and start the VM here; without the lease nothing starts."""


@attrs.frozen
class ShutDownVm:
    """Ask the guest to shut down."""


@attrs.frozen
class PowerOffVm:
    """End the VM at once."""


@attrs.frozen
class MigrateVm:
    """Move the running VM, its lease with it, to the host *target*."""

    target: int


@attrs.frozen
class CancelMigration:
    """Give up a live migration that does not end; the VM runs on here."""


@attrs.frozen
class Notify:
    """Tell people; the runtime queues it and never waits."""

    subject: str


@attrs.frozen
class StopAgent:
    """End this agent cleanly: publish the stopped flag, give the host id back if no VM needs it."""

    reason: str


Effect = Union[StartVm, ShutDownVm, PowerOffVm, MigrateVm, CancelMigration, Notify, StopAgent]
