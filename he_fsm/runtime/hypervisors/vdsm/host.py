"""The thread that looks at the VM: when vdsm tells of something, and when its time has come."""

from __future__ import annotations

import logging
import os
import time
from typing import Any, Final, Optional

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.vdsm.here import ENDS_S, Here
from he_fsm.runtime.hypervisors.vdsm.judge import Judge
from he_fsm.runtime.hypervisors.vdsm.status import PAUSED, VmSeen
from he_fsm.runtime.hypervisors.vm_file import Phase, VmRecord
from he_fsm.runtime.ports import VmIdentity
from he_fsm.runtime.service.log import Repeats
from he_fsm.snapshot import VmState

_log = logging.getLogger(__name__)

# How often the VM is looked at, though no event has come: by how it was last (seconds).
_USUAL_S: Final = 2.0
_PERIODS_S: Final = {
    VmState.STARTING: 0.25,
    VmState.LEAVING: 0.25,
    VmState.ARRIVING: 0.25,
    # safety: whether another host has taken the lease that a paused VM has put down.
    VmState.PAUSED: 0.5,
}
# How soon it is looked again at what is not clear, or at a vdsm that does not answer (seconds).
_AGAIN_S: Final = 0.5
_FROZEN: Final = "T"
# A migration that somebody else has ordered: the target is not known here.
_ANYWHERE: Final = 0
_NOBODY: Final = VmRecord(pid=0, started_ticks=0, phase=Phase.STARTING, port=0, since=0.0)
_BEFORE: Final = (Phase.STARTING, Phase.ARRIVING)


class VdsmHost:
    """Looks at the VM, and tells `Here` how it is; for the thread in which `follow` runs."""

    def __init__(self, here: Here) -> None:
        """Take what the threads share."""
        self._here = here
        self._repeats = Repeats(_log)
        self._judge = Judge(here)
        # When the last process of the VM was seen to have ended.
        self._ended_at: Optional[float] = None
        # Since when a process is here of which vdsm knows nothing.
        self._stray_since: Optional[float] = None
        # The process whose end is waited for, and its descriptor.
        self._process: Optional[tuple[VmIdentity, int]] = None

    def follow(self) -> None:
        """Look until the adapter is closed."""
        here = self._here
        try:
            while not here.closed.is_set():
                here.stirred.clear()
                pause_s = self._look_once()
                if not here.closed.is_set():
                    here.wait(pause_s, None if self._process is None else self._process[1])
        finally:
            self._watch_process(None)

    def _look_once(self) -> float:
        """Look; return how long to wait before the next look (seconds)."""
        try:
            self._look()
        except HypervisorError as error:
            # Restarted, hung, gone, of another version: the agent goes on without it.
            self._repeats.complain("vdsm", "%s", error, level=logging.ERROR)
            self._here.publish(VmState.UNKNOWN, str(error))
            self._judge.doubt()
            # One that has ended would let nobody wait.
            self._watch_process(None)
            return _AGAIN_S
        self._repeats.end("vdsm", "vdsm answers again")
        usual_s = _PERIODS_S.get(self._here.state, _USUAL_S)
        return _AGAIN_S if self._judge.is_suspicious else usual_s

    def _look(self) -> None:
        here = self._here
        if here.known.record is not None and self._find_process() is None:
            # vdsm may take its time to notice, or not answer at all.
            self._watch_process(None)
            self._see_absent()
        under_way = (here.starting, here.departure)
        seen = here.look()
        vm = self._find_process()
        self._watch_process(vm)
        if self._is_starting():
            return
        if (here.starting, here.departure) != under_way:
            # It is not known whether vdsm's answer is of before or after.
            here.stir()
            return
        if seen is None or seen.is_down:
            self._see_ended(seen, vm)
        elif vm is None:
            self._see_no_process(seen)
        else:
            self._stray_since = None
            self._doubt_after(seen)
            record = self._note(seen, vm)
            if not self._is_ended(seen, vm, record):
                self._publish(seen, record)

    def _doubt_after(self, seen: VmSeen) -> None:
        """Have sanlock asked again, where the VM may have put its lease down since it was."""
        here = self._here
        has_stayed = here.state is VmState.LEAVING and seen.vm_state() is not VmState.LEAVING
        if has_stayed or here.has_lost_events or seen.vm_state() is VmState.PAUSED:
            here.has_lost_events = False
            self._judge.doubt()

    def _is_starting(self) -> bool:
        """Show a start that was ordered here, whatever vdsm says; say whether there is one."""
        here = self._here
        with here.guard:
            if here.starting is not None:
                here.publish(VmState.STARTING)
            return here.starting is not None

    def _find_process(self) -> Optional[VmIdentity]:
        """Return the VM's process, and note when one that was known has ended."""
        vm = self._here.access.identity()
        if vm is None and self._here.known.record is not None:
            self._ended_at = time.monotonic()
        return vm

    def _watch_process(self, vm: Optional[VmIdentity]) -> None:
        """Have the end of the process *vm* end the wait, and of no other one."""
        if self._process is not None and not self._process[0].is_process_of(vm):
            os.close(self._process[1])
            self._process = None
        if vm is not None and self._process is None:
            try:
                self._process = (vm, os.pidfd_open(vm.pid))
            except ProcessLookupError:
                self._here.stir()

    # There is none, or none any more.

    def _see_ended(self, seen: Optional[VmSeen], vm: Optional[VmIdentity]) -> None:
        """Deal with a VM that vdsm says to have ended, or does not know."""
        if vm is None:
            self._stray_since = None
            self._see_absent("" if seen is None else seen.detail())
            return
        now = time.monotonic()
        if self._stray_since is None:
            self._stray_since = now
        if now - self._stray_since > ENDS_S:
            word = "knows nothing" if seen is None else "says that it has ended"
            msg = f"a process of the VM is here, {vm.pid}, and vdsm {word}"
            raise HypervisorError(msg)
        # It is on its way out, or vdsm has not taken it over yet.
        if self._here.departure is None:
            self._here.publish(VmState.STOPPING, "its process is still there")

    def _see_no_process(self, seen: VmSeen) -> None:
        """Deal with a VM that vdsm has, and of which no process is found."""
        here, state = self._here, seen.vm_state()
        if state in (VmState.STARTING, VmState.ARRIVING):
            # It is being made; whoever ordered that.
            here.publish(state, seen.detail())
            return
        if self._ended_at is None or time.monotonic() - self._ended_at > ENDS_S:
            msg = (
                f"vdsm says that the VM is '{seen.status}', and its process is not named by "
                f"{here.settings.config.pid_file}: set hypervisor.pid_dir and hypervisor.name"
            )
            raise HypervisorError(msg)
        # vdsm has not noticed yet that the process has ended.
        self._see_absent()

    def _see_absent(self, detail: str = "") -> None:
        here = self._here
        self._judge.begin()
        with here.guard:
            if here.starting is not None or here.departure is not None:
                return
            here.progress = None
            here.known.forget()
            here.publish(VmState.ABSENT, detail)

    # There is one.

    def _note(self, seen: VmSeen, vm: VmIdentity) -> VmRecord:
        """Write down how the VM is, for the next agent and for who asks by `VmAccess`."""
        here, state = self._here, seen.vm_state()
        with here.guard:
            departure = here.departure
            is_leaving = state is VmState.LEAVING or departure is not None
            target = _ANYWHERE if departure is None else departure.peer.host_id
            changes: dict[str, Any] = {
                "leaving_to": target if is_leaving else None,
                "is_paused": seen.status == PAUSED and not is_leaving,
            }
            if state is VmState.ARRIVING:
                changes["phase"] = Phase.ARRIVING
            elif state is VmState.STARTING:
                changes["phase"] = Phase.STARTING
            elif seen.executes and (here.known.record or _NOBODY).phase in _BEFORE:
                changes["phase"] = Phase.RUNNING
            return here.known.note(vm, **changes)

    def _is_ended(self, seen: VmSeen, vm: VmIdentity, record: VmRecord) -> bool:
        """End a VM that executes, or could, without being allowed to; say whether it was."""
        why = self._judge.why_ended(seen, vm, record)
        if not why:
            return False
        _log.critical("the VM is ended: %s", why)
        self._here.end(vm, why)
        # vdsm may take its time to notice.
        self._ended_at = time.monotonic()
        self._see_absent()
        return True

    def _publish(self, seen: VmSeen, record: VmRecord) -> None:
        here = self._here
        with here.guard:
            if here.starting is not None:
                return
            state, detail = seen.vm_state(), seen.detail()
            departure = here.departure
            if departure is not None:
                state, detail = VmState.LEAVING, f"to {departure.peer}"
            elif state is VmState.UP and record.process_state == _FROZEN:
                # A process that was stopped as a whole does not execute; it has its lease still.
                state, detail = VmState.PAUSED, "its process is stopped"
            progress = None
            if state is VmState.LEAVING:
                known = seen.progress if here.progress is None else here.progress
                progress = 0.0 if known is None else min(known, 0.999)
            else:
                here.progress = None
            here.publish(state, detail, progress)
