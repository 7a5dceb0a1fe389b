"""Sees on the storage that this host's id is renewed, without a process for each look."""

from __future__ import annotations

import math
from typing import Final, Optional

from he_fsm.errors import LockspaceError, StorageError
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.daemon.errors import question_to
from he_fsm.runtime.leases.sanlock.daemon.module import call
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
from he_fsm.runtime.storage.direct_file import BLOCK_BYTES, DirectFile

# A renewal may be so much later than it is due, on the daemon's clock, which counts whole seconds.
_LATE: Final = 2


class Renewals:
    """
    Follows the lease of one host id, which its daemon writes anew with each renewal.

    Source of its place: sanlock's `delta_lease.c`: each host id has one sector, in their order.
    """

    def __init__(
        self, settings: SanlockSettings, host_id: int, rules: Rules, period_s: float
    ) -> None:
        """Somebody looks every *period_s* seconds."""
        self._settings = settings
        self._host_id = host_id
        # A thread that only looks never waits for storage that hangs.
        self._asking = question_to(settings.run_dir, settings.wait_s)
        self._fresh_s = rules.renewal_s + _LATE / settings.clock_rate + 2 * period_s
        place = (host_id - 1) * settings.sector_bytes
        self._file = DirectFile(settings.path, settings.offset + place // BLOCK_BYTES * BLOCK_BYTES)
        self._from = place % BLOCK_BYTES
        self._sector: Optional[bytes] = None
        self._looked_at = self._changed_at = -math.inf

    def last(self, now: float) -> Optional[float]:
        """
        Return when the id was last renewed, at the earliest; None: not as lately as it has to be.

        That is the last look that did not show the renewal yet. If nobody looked for long, it is
        too long ago to be believed.
        """
        try:
            is_held, sector = self._asking.ask(self._look)
        except (LockspaceError, StorageError):
            return None
        before, self._sector = self._sector, sector
        looked_at, self._looked_at = self._looked_at, now
        if not is_held:
            return None
        if before is not None and sector != before:
            self._changed_at = looked_at
        return self._changed_at if now - self._changed_at <= self._fresh_s else None

    def _look(self) -> tuple[bool, bytes]:
        at = self._settings
        what = f"ask sanlock for host id {self._host_id}"
        name = at.lockspace.encode()
        held = call(at.run_dir, "inq_lockspace", name, self._host_id, at.path, at.offset, what=what)
        block = self._file.read_beginning(BLOCK_BYTES)
        return held is True, block[self._from : self._from + at.sector_bytes]
