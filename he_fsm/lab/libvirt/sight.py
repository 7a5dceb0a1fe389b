"""
What the domain of one host does, whatever its agent and libvirt say of it.

The process is found by libvirt's pid file, and QEMU tells the rest by a monitor that is not
libvirt's: when the VM begins to execute, when its power button is pressed, how its migration goes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Optional

import attrs

from he_fsm.errors import HypervisorError
from he_fsm.lab.vm_sight import PagesAt, VmSight
from he_fsm.runtime.hypervisors.libvirt.access import LibvirtVm
from he_fsm.runtime.hypervisors.vm_file import Phase, VmRecord

# QEMU's words for what becomes of a migration; the others are on the way. Source: qapi, migration.
_SENT: Final = "completed"
_FAILED: Final = ("failed", "cancelled")
_WAITS: Final = b"-incoming"


class DomainSight(VmSight):
    """Looks at the domain of one host; *others* returns those of the other hosts, by their ids."""

    def __init__(
        self,
        run_dir: Path,
        access: LibvirtVm,
        pages: PagesAt,
        name: str,
        others: Callable[[], Iterable[tuple[int, DomainSight]]],
    ) -> None:
        """Begin to look; *access* finds the process, *run_dir* has QEMU's monitor."""
        self._access = access
        self._others = others
        self._guard = threading.Lock()
        self._known: Optional[VmRecord] = None
        # The VM has been sent to another host as a whole.
        self._is_sent = False
        super().__init__(run_dir, self.record, pages, name)

    @property
    def phase(self) -> Optional[Phase]:
        """How far the last process has come, as it was last seen; None: there was none."""
        known = self._known
        return None if known is None else known.phase

    def record(self) -> Optional[VmRecord]:
        """Return what is known of the last process here, whether it lives or not."""
        with self._guard:
            known = self._known
            if known is None or known.process_state is None:
                begun = self._begun()
                if begun is not None:
                    known, self._is_sent = begun, False
            if known is not None and self._is_sent and self._runs_on(known.leaving_to):
                known = attrs.evolve(known, phase=Phase.MIGRATED)
            self._known = known
            return known

    def _begun(self) -> Optional[VmRecord]:
        """Return the record of a process that was not known before."""
        try:
            vm = self._access.identity()
            if vm is None:
                return None
            words = Path(f"/proc/{vm.pid}/cmdline").read_bytes().split(b"\0")
        except (HypervisorError, OSError):
            # It has ended between two looks.
            return None
        return VmRecord(
            pid=vm.pid,
            started_ticks=int(vm.incarnation),
            phase=Phase.ARRIVING if _WAITS in words else Phase.STARTING,
            port=0,
            since=time.monotonic(),
        )

    def _runs_on(self, host_id: Optional[int]) -> bool:
        return any(id_ == host_id and other.phase is Phase.RUNNING for id_, other in self._others())

    def _where_it_arrives(self) -> Optional[int]:
        for host_id, other in self._others():
            record = other.record()
            if record is not None and record.is_here and record.phase is Phase.ARRIVING:
                return host_id
        return None

    def was_asked(self, runstate: str) -> None:
        """Note that the VM executes."""
        if runstate == "running":
            self._executes_now()

    def heard(self, event: str, data: Mapping[str, Any]) -> None:
        """Note what QEMU reports."""
        self.record()
        if event == "RESUME":
            self._executes_now()
        elif event == "POWERDOWN" and self.phase is Phase.RUNNING:
            self._note(phase=Phase.STOPPING)
        elif event == "MIGRATION":
            self._take_migration(str(data.get("status")))

    def _executes_now(self) -> None:
        with self._guard:
            known = self._known
            if known is None:
                return
            if known.phase in (Phase.STARTING, Phase.ARRIVING):
                known = attrs.evolve(known, phase=Phase.RUNNING, since=time.monotonic())
            elif self._is_sent:
                # The other side did not take it.
                known = attrs.evolve(known, phase=Phase.RUNNING, leaving_to=None)
                self._is_sent = False
            self._known = known

    def _take_migration(self, status: str) -> None:
        """Note how a migration away from here goes; the side that receives one reports it too."""
        known = self._known
        if known is None or known.phase is not Phase.RUNNING:
            return
        if status == _SENT:
            self._is_sent = True
        elif status in _FAILED:
            failed, failure = known.failed_migrations + 1, f"QEMU says {status}"
            self._note(leaving_to=None, failed_migrations=failed, failure=failure)
        elif known.leaving_to is None:
            self._note(leaving_to=self._where_it_arrives(), leaving_since=time.monotonic())

    def _note(self, **changes: Any) -> None:
        with self._guard:
            if self._known is not None:
                self._known = attrs.evolve(self._known, **changes)
