"""
A cluster as its whiteboard itself shows it: no daemon has to run here, and none is asked.

Who lives is judged as an agent does, by records that grow; for the first minute it is not known.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Callable, Final, Optional, Union

from he_fsm.dashboard.sources.lease_area import LeaseArea
from he_fsm.dashboard.sources.source import Moment
from he_fsm.errors import HeFsmError
from he_fsm.liveness import Liveness, Sightings, look, who_is_alive
from he_fsm.metadata import EngineStatus, HostRecord, Whiteboard, engine_condition
from he_fsm.placement import placement
from he_fsm.policy import TALK, Policy
from he_fsm.runtime.broker.status import status_of
from he_fsm.runtime.config import Config
from he_fsm.runtime.leases.files.lockspace import EmbeddedLeases
from he_fsm.runtime.ports import LeaseStatus
from he_fsm.runtime.service.log import Repeats
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile

_log = logging.getLogger(__name__)
# Nobody's host id: who looks from outside has none.
_NOBODY: Final = 0
# An id that no host has, for the leases.
_OUTSIDER: Final = 2000
# Two readings are so far apart (seconds): each is a few blocks of every host.
_READ_EVERY_S: Final = 1.0


class WhiteboardSource:
    """Reads a file or device."""

    kind = "whiteboard"
    config: Optional[Config] = None

    def __init__(
        self,
        path: Path,
        leases: Optional[Path] = None,
        *,
        policy: Policy = TALK,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Read nothing yet.

        Args:
            path: the whiteboard.
            leases: the folder of its leases, of kind `files`, or the file or device of sanlock's;
                None: they are not known.
            policy: when a host is dead, and how long leases last.
            clock: monotonic (seconds).
        """
        self.title = str(path)
        self.policy: Optional[Policy] = policy
        self._file, self._clock = WhiteboardFile(path), clock
        self._times = policy
        self._repeats = Repeats(_log)
        self._sightings: Sightings = {}
        self._is_first = True
        # Where the engine was seen last and how, since when, and whether that was seen to begin.
        self._engine: Optional[tuple[Optional[int], str]] = None
        self._engine_since, self._saw_change = 0.0, False
        self._leases: Union[EmbeddedLeases, LeaseArea, None] = None
        if leases is not None and leases.is_dir():
            self._leases = EmbeddedLeases(
                leases, _OUTSIDER, "dashboard", policy.io_timeout_s, policy.watchdog_s
            )
        elif leases is not None:
            self._leases = LeaseArea(leases, policy, clock)

    def status(self) -> dict[str, Any]:
        """Read whiteboard and leases; a file that can't be read raises an error."""
        now, board = self._clock(), Whiteboard.parse(self.whiteboard())
        self._sightings = look(
            self._sightings,
            board.slots,
            _NOBODY,
            now,
            first=self._is_first,
            slack_s=2 * self._times.loop_s,
        )
        self._is_first = False
        leases = self._lease_status()
        dead = frozenset() if leases is None else leases.view.dead_hosts
        found = who_is_alive(self._sightings, _NOBODY, now, self._times.dead_after_s, dead)
        liveness = Liveness(found.alive - {_NOBODY}, found.pending, found.changes_at)
        return status_of(
            host_id=_NOBODY,
            whiteboard=board,
            read_age_s=0.0,
            storage="ok",
            leases=leases,
            now=now,
            report=self._report(liveness, now),
            report_age_s=0.0,
            monitors={},
            local_maintenance=False,
            local_problem="",
            counts={},
            threads={},
        )

    def whiteboard(self) -> bytes:
        """Return the bytes of all slots; `StorageError` where they can't be read."""
        # Past this machine's cache, which would show what stood there once.
        return self._file.read()

    def wait(self, limit_s: float) -> None:
        """Wait until the next reading: a file tells no changes."""
        time.sleep(min(limit_s, _READ_EVERY_S))

    def past(self, since: float) -> Iterator[Moment]:  # noqa: ARG002 - the protocol's
        """Return nothing: a whiteboard has no past."""
        return iter(())

    def _lease_status(self) -> Optional[LeaseStatus]:
        if self._leases is None:
            return None
        try:
            found = self._leases.status()
        except HeFsmError as error:
            self._repeats.complain("leases", "the leases can't be read: %s", error)
            return None
        self._repeats.end("leases", "the leases can be read again")
        return found

    def _report(self, liveness: Liveness, now: float) -> dict[str, Any]:
        """Return what an agent would report of the cluster, as far as an outsider sees it."""
        records = {
            host_id: seen.record
            for host_id, seen in self._sightings.items()
            if seen.record is not None
        }
        plan = placement(records, liveness.alive, self._times, liveness.pending)
        self._see_engine(plan.engine_on, records, now)
        sees = {
            str(host_id): self._seen(host_id, record, now)
            for host_id, record in records.items()
            if host_id in liveness.alive
        }
        return {
            "alive": sorted(liveness.alive),
            "pending": sorted(liveness.pending),
            "placement": plan.reason,
            "sees": sees,
            "loop_s": self._times.loop_s,
            "engine_seen": {
                "host": None if self._engine is None else self._engine[0],
                "condition": "down" if self._engine is None else self._engine[1],
                "for_s": round(now - self._engine_since, 3),
                "saw_change": self._saw_change,
            },
        }

    def _see_engine(
        self, runs_on: Optional[int], records: Mapping[int, HostRecord], now: float
    ) -> None:
        status: Optional[EngineStatus] = None if runs_on is None else records[runs_on].engine
        found = (runs_on, "down" if status is None else engine_condition(status))
        if found != self._engine:
            self._saw_change = self._engine is not None
            self._engine, self._engine_since = found, now

    def _seen(self, host_id: int, record: HostRecord, now: float) -> dict[str, Any]:
        seen = self._sightings[host_id]
        grew_at = seen.since if seen.grew_at is None else seen.grew_at
        return {
            "score": record.score,
            "vm": record.engine.vm,
            "hostname": record.hostname,
            "maintenance": record.local_maintenance,
            "stopped": record.stopped,
            "age_s": round(now - grew_at, 3),
        }
