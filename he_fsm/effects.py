"""What a decision asks the runtime to do, as values."""

from __future__ import annotations

from typing import Optional, Union

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
    """Cancel a live migration that does not end; the VM continues to run here."""


@attrs.frozen
class GiveUpArrival:
    """End the process that waits for a VM to arrive by migration; no VM executes in it."""


@attrs.frozen
class Notify:
    """Tell people; the runtime queues it and never waits."""

    subject: str


@attrs.frozen
class StopAgent:
    """End this agent cleanly: publish the stopped flag, give the host id back if no VM needs it."""

    reason: str


@attrs.frozen
class LetGo:
    """Stand in the way of the host's orderly shutdown no longer: nothing here needs it to wait."""

    reason: str


@attrs.frozen
class Alarm:
    """
    Tell people that something stays wrong, or is over.

    `name` says what (he_fsm.alarms), `text` why and with which command it ends. `told`: how often
    people have been told before. `is_over`: it is right again.
    """

    name: str
    text: str
    told: int = 0
    is_over: bool = False


@attrs.frozen
class WriteGlobal:
    """
    Write slot 0's last good value again, if the slot still can't be believed.

    The runtime reads the slot once more before it writes: somebody may have set the flag anew.
    `until`: when the maintenance ends by itself (seconds since 1970).
    """

    maintenance: bool
    until: Optional[int] = None


@attrs.frozen
class EndGlobal:
    """
    End global maintenance, whose time is over, if slot 0 still says that it ends at `until`.

    The runtime reads the slot once more before it writes: somebody may have set another time.
    """

    until: int


Effect = Union[
    StartVm,
    ShutDownVm,
    PowerOffVm,
    MigrateVm,
    CancelMigration,
    GiveUpArrival,
    Notify,
    StopAgent,
    LetGo,
    Alarm,
    WriteGlobal,
    EndGlobal,
]
