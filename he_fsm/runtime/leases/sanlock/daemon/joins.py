"""Who has sanlock join and leave the lockspace: this process, where no other daemon does."""

from __future__ import annotations

from typing import Protocol

import attrs

from he_fsm.runtime.leases.sanlock.daemon import errors as sanlock_errors
from he_fsm.runtime.leases.sanlock.daemon.module import call
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings


class Joins(Protocol):
    """Has the lockspace joined and left; nothing else in it knows who does."""

    def join(self) -> None:
        """Have it joined; on return it is, or `LockspaceError`. May take minutes."""

    def leave(self) -> None:
        """
        Have it left; that goes on after the return.

        Raises:
            NotJoinedError: it is not joined.
            EngineHereError: the engine runs here.
            LockspaceError: whoever does it refuses, or does not answer.
        """


@attrs.frozen(kw_only=True)
class OwnJoins:
    """Orders it of sanlock by its module."""

    settings: SanlockSettings
    host_id: int
    io_timeout_s: float

    def join(self) -> None:
        """Have sanlock join."""
        at = self.settings
        call(
            *(at.run_dir, "add_lockspace"),
            *(at.lockspace.encode(), self.host_id, at.path, at.offset),
            iotimeout=at.daemon_io_timeout(self.io_timeout_s),
            what=f"join {at.lockspace} as host {self.host_id}",
            meanings=sanlock_errors.JOINING,
        )

    def leave(self) -> None:
        """Have sanlock leave, unless a lease in the lockspace is held."""
        at = self.settings
        call(
            *(at.run_dir, "rem_lockspace"),
            *(at.lockspace.encode(), self.host_id, at.path, at.offset),
            wait=False,
            unused=True,
            what=f"host {self.host_id} leaves {at.lockspace}",
            meanings=sanlock_errors.LEAVING,
        )
