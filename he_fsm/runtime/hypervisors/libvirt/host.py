"""The thread that looks at the domain of this host: connects, follows libvirt's events, judges."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timezone
from typing import Any, Final, Optional

import libvirt

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.libvirt import domain as domains
from he_fsm.runtime.hypervisors.libvirt.access import set_password
from he_fsm.runtime.hypervisors.libvirt.connection import ANSWER_S, Connection, Opening
from he_fsm.runtime.hypervisors.libvirt.deeds.arriving import receive
from he_fsm.runtime.hypervisors.libvirt.deeds.starting import go_on
from he_fsm.runtime.hypervisors.libvirt.domain import DomainSeen
from he_fsm.runtime.hypervisors.libvirt.events import ProcessEnd
from he_fsm.runtime.hypervisors.libvirt.here import ENDS_S, Here
from he_fsm.runtime.hypervisors.libvirt.holder.settings import ANYWHERE
from he_fsm.runtime.hypervisors.libvirt.judge import Judge
from he_fsm.runtime.hypervisors.vm_file import Phase, VmRecord
from he_fsm.runtime.ports import VmIdentity
from he_fsm.runtime.service.log import Repeats
from he_fsm.snapshot import Outcome, VmState

_log = logging.getLogger(__name__)

# How often the domain is looked at, though no event has come: by how it was last (seconds).
_USUAL_S: Final = 2.0
_PERIODS_S: Final = {
    VmState.STARTING: 0.25,
    VmState.LEAVING: 0.25,
    VmState.ARRIVING: 0.25,
    # safety: whether another host has taken the lease that a paused domain has put down.
    VmState.PAUSED: 0.5,
}
# How often it is tried to reach a daemon that is not there (seconds).
_AGAIN_S: Final = 0.5
_FROZEN: Final = "T"
# The event by which a migration pauses its source in the last moment.
_SENT: Final = (
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED,
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED,
)
# The event by which a source says that its domain executes on another host.
_MOVED: Final = (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED)
# A holder lets the lease go within milliseconds when its domain has ended (seconds).
_LET_GO_S: Final = 0.15
_PANICKED: Final = (
    libvirt.VIR_DOMAIN_EVENT_CRASHED,
    libvirt.VIR_DOMAIN_EVENT_CRASHED_PANICKED,
)
# What a watchdog of the guest does that ends or stops the guest; all else lets it go on.
_FATAL_ACTIONS: Final = (
    libvirt.VIR_DOMAIN_EVENT_WATCHDOG_PAUSE,
    libvirt.VIR_DOMAIN_EVENT_WATCHDOG_POWEROFF,
    libvirt.VIR_DOMAIN_EVENT_WATCHDOG_SHUTDOWN,
)


class LibvirtHost:
    """
    Looks at the domain, and tells `Here` how it is.

    All methods but `follow` are for the thread in which that runs.
    """

    def __init__(self, here: Here) -> None:
        """Take what the threads share."""
        self._here = here
        self._opening: Optional[Opening] = None
        self._asked_at = 0.0
        self._repeats = Repeats(_log)
        self._judge = Judge(here)
        self._has_holders = here.settings.holder is not None
        # When the last process of the domain was seen to have ended.
        self._ended_at: Optional[float] = None
        # The process whose end is an event.
        self._process: Optional[tuple[VmIdentity, ProcessEnd]] = None

    def follow(self) -> None:
        """Look until the adapter is closed."""
        here = self._here
        while not here.closed.is_set():
            connection = self._connected()
            if connection is None:
                here.stirred.wait(_AGAIN_S)
                here.stirred.clear()
                continue
            try:
                self._follow(connection)
            except HypervisorError as error:
                self._lose(str(error))
                here.stirred.wait(_AGAIN_S)
            finally:
                here.connection = None
                self._watch_process(None)
                # It takes the callbacks with it.
                connection.close()
        if self._opening is not None:
            self._opening.give_up()
            self._opening = None

    def _connected(self) -> Optional[Connection]:
        """Return a new connection; None: there is none yet."""
        if self._opening is None:
            self._opening, self._asked_at = (
                Opening(self._here.settings.config.uri),
                time.monotonic(),
            )
        try:
            connection = self._opening.wait(_AGAIN_S)
        except HypervisorError as error:
            self._opening = None
            self._lose(str(error))
            return None
        if connection is None:
            # Tried once: a second one would hang as well.
            if time.monotonic() - self._asked_at > ANSWER_S:
                self._lose(f"libvirt does not answer at {self._here.settings.config.uri}")
            return None
        self._opening = None
        return connection

    def _lose(self, why: str) -> None:
        self._repeats.complain("libvirt", "%s", why, level=logging.ERROR)
        self._here.publish(VmState.UNKNOWN, why)

    def _follow(self, connection: Connection) -> None:
        """Look whenever something happens; raises `HypervisorError` at the connection's end."""
        here = self._here
        connection.register(
            self._on_close,
            LIFECYCLE=self._on_lifecycle,
            MIGRATION_ITERATION=self._on_anything,
            WATCHDOG=self._on_watchdog,
            GRAPHICS=self._on_graphics,
        )
        here.connection = connection
        self._judge.begin()
        while not here.closed.is_set():
            here.stirred.clear()
            if not connection.is_usable:
                msg = "the connection to libvirt is lost"
                raise HypervisorError(msg)
            self._look(connection)
            self._repeats.end("libvirt", "libvirt answers again")
            here.stirred.wait(
                _AGAIN_S if self._judge.is_suspicious else _PERIODS_S.get(here.state, _USUAL_S)
            )

    # Events: in libvirt's own thread.

    def _on_close(self, *_: Any) -> None:
        self._here.stir()

    def _on_anything(self, *_: Any) -> None:
        self._here.stir()

    def _on_lifecycle(self, _raw: Any, domain: Any, event: int, detail: int, _: Any) -> None:
        if domain.name() != self._here.name:
            return
        _log.debug("libvirt says %d/%d", event, detail)
        if event == libvirt.VIR_DOMAIN_EVENT_RESUMED:
            self._judge.resumes += 1
        elif (event, detail) == _SENT:
            self._judge.was_sent = True
        elif (event, detail) == _MOVED:
            self._here.known.settle_move(has_moved=True)
        elif (event, detail) == _PANICKED:
            self._here.is_dead("the guest has panicked")
        self._here.stir()

    def _on_watchdog(self, _raw: Any, domain: Any, action: int, _: Any) -> None:
        if domain.name() == self._here.name and action in _FATAL_ACTIONS:
            self._here.is_dead("the guest's watchdog has fired")

    def _on_graphics(self, _raw: Any, domain: Any, phase: int, *_: Any) -> None:
        """Make the screen's password void: somebody has got in with it."""
        if (
            domain.name() == self._here.name
            and phase == libvirt.VIR_DOMAIN_EVENT_GRAPHICS_INITIALIZE
        ):
            self._here.begin("libvirt-console", self._void_password)

    def _void_password(self) -> None:
        try:
            connection = self._here.usable()
            domain = self._here.domain(connection)
            set_password(connection, domain, "", datetime.fromtimestamp(1, timezone.utc))
        except HypervisorError as error:
            # The password expires in any case.
            _log.warning("the screen's password is not used up: %s", error)

    def _watch_process(self, vm: Optional[VmIdentity]) -> None:
        """Have the end of the process *vm* be an event, and of no other one."""
        watched = self._process
        if watched is not None and (vm is None or watched[0].pid != vm.pid):
            watched[1].close()
            self._process = None
        if vm is not None and self._process is None:
            try:
                self._process = (vm, ProcessEnd(vm.pid, self._here.stir))
            except ProcessLookupError:
                self._here.stir()

    # Look.

    def _look(self, connection: Connection) -> None:
        here = self._here
        starting = here.starting
        if starting is not None and starting.takes_lease and not self._has_holders:
            # libvirt answers no question about a domain whose lease it waits for.
            connection.ping()
            return
        if here.known.record is not None and here.access.identity() is None:
            # libvirt may take its time to notice, and answers no question meanwhile.
            self._ended_at = time.monotonic()
            self._see_absent()
        seen = domains.look(connection, here.name)
        vm = here.access.identity() if seen is not None else None
        if seen is None:
            self._see_absent()
            return
        if vm is None:
            self._see_no_process()
            return
        here.is_without_job = seen.job is None
        self._watch_process(vm)
        if here.starting is None and self._ends_or_begins(seen, vm):
            return
        record = self._note(seen, vm)
        self._receive(seen, vm, record)
        if self._is_ended(connection, seen, vm, record):
            return
        self._publish(seen, record)

    def _receive(self, seen: DomainSeen, vm: VmIdentity, record: VmRecord) -> None:
        """See to a domain that arrives, where a holder takes the lease for it."""
        here = self._here
        arrives = record.phase is Phase.ARRIVING and not record.has_holder and not seen.executes
        if self._has_holders and arrives and here.starting is None:
            receive(here, vm)
        arrival = here.arrival
        if arrival is not None and seen.job is None and seen.is_paused:
            arrival.is_complete.set()

    def _see_no_process(self) -> None:
        """Deal with a domain that libvirt has, and of which no process is found."""
        ended_at = self._ended_at
        if ended_at is None or time.monotonic() - ended_at > ENDS_S:
            msg = (
                f"libvirt runs the domain, and its process is not named by "
                f"{self._here.settings.config.pid_file}: set hypervisor.pid_dir to the daemon's"
            )
            raise HypervisorError(msg)
        # libvirt has not noticed yet that the process has ended.
        self._see_absent()

    def _see_absent(self) -> None:
        here = self._here
        self._judge.begin()
        has_let_go = here.known.has_let_lease_go(_LET_GO_S)
        with here.guard:
            if here.starting is not None or here.departure is not None:
                return
            if has_let_go:
                here.forget()
                here.publish(VmState.ABSENT)
            else:
                here.publish(VmState.STOPPING, "it has ended, and its lease is being let go")

    def _ends_or_begins(self, seen: DomainSeen, vm: VmIdentity) -> bool:
        """Deal with a start that lost its agent or its connection; say whether there was one."""
        here = self._here
        record = here.known.record or here.known.read()
        is_ours = record is not None and record.pid == vm.pid
        if seen.executes or seen.job is not None:
            here.has_lost_start = False
            return False
        if is_ours and record is not None and record.phase is Phase.STARTING:
            if record.has_holder:
                # Whether QEMU has the lease's descriptor is not known any more.
                here.owe(Outcome.START_FAILED, "its agent has ended while the lease was taken")
                self._end(vm, "its start is not known to have gone well")
            else:
                go_on(here, vm)
            return True
        if here.has_lost_start:
            here.has_lost_start = False
            self._end(vm, "libvirt has started it after its start was given up")
            return True
        return False

    def _note(self, seen: DomainSeen, vm: VmIdentity) -> VmRecord:
        """Write down how the domain is, for the next agent and for who asks by `VmAccess`."""
        here = self._here
        state = seen.vm_state()
        with here.guard:
            changes: dict[str, Any] = {}
            if here.starting is None:
                departure = here.departure
                is_leaving = state is VmState.LEAVING or departure is not None
                target = ANYWHERE if departure is None else departure.peer.host_id
                changes["leaving_to"] = target if is_leaving else None
                # A holder keeps the lease of a domain that is paused.
                changes["is_paused"] = seen.is_paused and not here.known.has_holder
                if state is VmState.ARRIVING:
                    changes["phase"] = Phase.ARRIVING
                elif seen.executes and (here.known.record or _NOBODY).phase in _BEFORE:
                    changes["phase"] = Phase.RUNNING
            return here.known.note(vm, **changes)

    def _is_ended(
        self, connection: Connection, seen: DomainSeen, vm: VmIdentity, record: VmRecord
    ) -> bool:
        """End a domain that executes, or could, without being allowed to; say whether it was."""
        # A definition may keep a guest that is dead, which nobody needs any more.
        is_kept = seen.is_kept_dead and self._here.death_of(vm)
        underway = self._here.starting or self._here.arrival
        if underway is None:
            why = is_kept or self._judge.why_ended(connection, seen, vm, record)
        elif self._has_holders and seen.executes and not underway.may_execute:
            why = "somebody has resumed it before it had the lease"
        else:
            why = ""
        if not why:
            return False
        _log.critical("the domain is ended: %s", why)
        self._end(vm, why)
        return True

    def _end(self, vm: VmIdentity, why: str) -> None:
        self._here.end(vm, why)
        # libvirt may take its time to notice.
        self._ended_at = time.monotonic()
        self._see_absent()

    # Publish.

    def _publish(self, seen: DomainSeen, record: VmRecord) -> None:
        here = self._here
        with here.guard:
            if here.starting is not None:
                return
            state, detail = seen.vm_state(), seen.detail(keeps_lease=record.has_holder)
            departure = here.departure
            if departure is not None:
                state, detail = VmState.LEAVING, f"to {departure.peer}"
            elif here.arrival is not None and not seen.executes:
                state, detail = VmState.ARRIVING, ""
            elif state is VmState.UP and record.phase is Phase.STOPPING:
                state = VmState.STOPPING
            elif state is VmState.UP and record.process_state == _FROZEN:
                # A process that was stopped as a whole does not execute; it has its lease still.
                state, detail = VmState.PAUSED, "its process is stopped"
            progress = None
            if state is VmState.LEAVING:
                progress = 0.0 if seen.progress is None else min(seen.progress, 0.999)
            here.publish(state, detail, progress)


_BEFORE: Final = (Phase.STARTING, Phase.ARRIVING)
_NOBODY: Final = VmRecord(pid=0, started_ticks=0, phase=Phase.STARTING, port=0, since=0.0)
