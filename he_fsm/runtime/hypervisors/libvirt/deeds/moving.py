"""
Move the domain to another host while it executes: libvirt does it from daemon to daemon.

With libvirt's plug-in, the source's libvirt holds the lease while it sends the memory, puts it down
when the domain is paused at the end, and the target's takes it. For a moment nobody has it. Where
that fails, libvirt may leave the source paused without a job and without an event; whoever looks at
paused domains resumes or ends it (`paused`).

With a holder, libvirt is told to leave the domain paused on the target. The source's holder lets
the lease go when its process has ended, with the note that it has moved; the target's takes it, and
then the domain is resumed there (`arriving`).
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

import libvirt

from he_fsm.errors import HypervisorError, LockspaceError
from he_fsm.runtime.hypervisors.libvirt.connection import Connection, LibvirtRefusedError
from he_fsm.runtime.hypervisors.libvirt.here import Departure, Here
from he_fsm.runtime.hypervisors.libvirt.section import MigrateConfig
from he_fsm.runtime.hypervisors.vm_file import Phase
from he_fsm.runtime.ports import Peer
from he_fsm.snapshot import Outcome, VmState

_log = logging.getLogger(__name__)

# The agent gives a migration up that takes too long; this is for one that nobody gives up.
_LONGEST_S: Final = 24 * 3600.0
# A migration whose connection was lost goes on without it: so it is asked how it went (seconds).
_ASK_S: Final = 0.5
_CANCEL_AGAIN_S: Final = 0.5
# The target's holder takes the lease within milliseconds of its release, or gives up by then; and
# how often it is looked whether it has (seconds).
_TAKEN_S: Final = 20.0
_TAKEN_AGAIN_S: Final = 0.1


def migrate(here: Here, peer: Peer) -> None:
    """Order the domain's migration to *peer*."""
    uri = here.settings.config.migrate.address_of(peer)
    with here.guard:
        if here.state is not VmState.UP or here.starting or here.departure:
            here.tell(Outcome.MIGRATION_FAILED, "the VM can't be migrated now")
            return
        if uri is None:
            detail = "hypervisor.migrate.peers is not set: the domain does not move"
            here.tell(Outcome.MIGRATION_FAILED, detail)
            return
        if here.known.has_holder == here.settings.config.is_plugin:
            detail = (
                "the VM got its lease in the other way than hypervisor.lease says now: it moves "
                "when it has been started anew"
            )
            here.tell(Outcome.MIGRATION_FAILED, detail)
            return
        vm = here.access.identity()
        if vm is not None:
            # From now on the guard of the lease leaves the lease to the migration.
            here.known.note(vm, leaving_to=peer.host_id)
        departure = here.departure = Departure(peer)
        here.publish(VmState.LEAVING, f"to {peer}", 0.0)
    here.begin("libvirt-migrate", lambda: _carry_out(here, departure, uri))


def cancel(here: Here) -> None:
    """Order the end of the migration under way, whoever ordered it."""
    if here.state is VmState.LEAVING:
        departure = here.departure
        if departure is not None:
            departure.is_cancelled = True
        here.begin("libvirt-cancel", lambda: _cancel(here, departure))


def _cancel(here: Here, departure: Any) -> None:
    """Abort the job; one that has not begun yet is aborted when it has."""
    while here.state is VmState.LEAVING and here.departure is departure:
        try:
            connection = here.usable()
            domain = here.domain(connection)
            connection.call("give the migration up", domain.abortJob)
        except LibvirtRefusedError as error:
            # There is no job yet, or no longer.
            _log.debug("%s", error)
        except HypervisorError as error:
            _log.warning("the migration is not given up: %s", error)
            return
        else:
            return
        if departure is None or here.closing.wait(_CANCEL_AGAIN_S):
            return


def _carry_out(here: Here, departure: Departure, uri: str) -> None:
    outcome, detail = Outcome.MIGRATION_DONE, ""
    try:
        _move(here, here.usable(), departure, uri)
    except HypervisorError as error:
        outcome, detail = Outcome.MIGRATION_FAILED, str(error)
        if not connection_is_well(here):
            outcome = _asked(here, departure)
    if here.known.has_holder:
        here.known.settle_move(has_moved=outcome is Outcome.MIGRATION_DONE)
        if outcome is Outcome.MIGRATION_DONE and not _has_taken(here, departure):
            outcome, detail = Outcome.MIGRATION_FAILED, f"{departure.peer} has not taken the lease"
    _log.info("the migration to %s: %s", departure.peer, detail or "done")
    here.owe(outcome, detail)
    here.has_lost_move = outcome is Outcome.MIGRATION_FAILED
    here.departure = None
    here.stir()


def _has_taken(here: Here, departure: Departure) -> bool:
    """Wait until the target's holder has the lease, or another host has; say whether it has."""
    ends_at = time.monotonic() + _TAKEN_S
    while time.monotonic() < ends_at:
        try:
            owner = here.sight.seen().owner
        except LockspaceError as error:
            _log.warning("whether %s executes the VM is not known yet: %s", departure.peer, error)
            owner = None
        if owner not in (None, here.settings.host_id):
            return owner == departure.peer.host_id
        if here.closing.wait(_TAKEN_AGAIN_S):
            # The target is on its own: it has the memory, and the note beside the lease.
            return True
    return False


def connection_is_well(here: Here) -> bool:
    """Whether a refusal was libvirt's answer, and not the loss of the connection."""
    connection = here.connection
    return connection is not None and connection.is_usable


def _asked(here: Here, departure: Departure) -> Outcome:
    """Find out how a migration has ended whose end nobody has reported."""
    while not here.closing.wait(_ASK_S):
        if here.access.identity() is not None:
            if connection_is_well(here) and here.is_without_job:
                return Outcome.MIGRATION_FAILED
            continue
        record = here.known.record
        if record is not None and record.has_holder:
            # Nobody has said that it has moved, and so the holder leaves no note.
            is_there = record.phase is Phase.MIGRATED
            return Outcome.MIGRATION_DONE if is_there else Outcome.MIGRATION_FAILED
        try:
            owner = here.sight.seen().owner
        except LockspaceError as error:
            _log.warning("how the migration has ended is not known yet: %s", error)
            continue
        is_there = owner == departure.peer.host_id
        return Outcome.MIGRATION_DONE if is_there else Outcome.MIGRATION_FAILED
    return Outcome.MIGRATION_FAILED


def parameters(config: MigrateConfig, peer: Peer) -> dict[str, Any]:
    """Return libvirt's parameters of a migration to *peer*: where the memory goes, how fast."""
    wanted: dict[str, Any] = {}
    data = config.data_address_of(peer)
    if data is not None:
        wanted[libvirt.VIR_MIGRATE_PARAM_URI] = data
    if config.bandwidth:
        wanted[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = config.bandwidth
    return wanted


def _move(here: Here, connection: Connection, departure: Departure, uri: str) -> None:
    """Have libvirt move the domain; raises `HypervisorError`."""
    config, domain = here.settings.config.migrate, here.domain(connection)
    flags = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER
    flags |= libvirt.VIR_MIGRATE_ABORT_ON_ERROR
    if config.tunnelled:
        flags |= libvirt.VIR_MIGRATE_TUNNELLED
    if config.tls:
        flags |= libvirt.VIR_MIGRATE_TLS
    if config.unsafe:
        flags |= libvirt.VIR_MIGRATE_UNSAFE
    if here.known.has_holder:
        # safety: there, nobody has the lease before this host's holder has let it go.
        flags |= libvirt.VIR_MIGRATE_PAUSED
    wanted = parameters(config, departure.peer)
    began_at = time.monotonic()
    connection.call(
        f"move the domain to {departure.peer} at {uri}",
        lambda: domain.migrateToURI3(uri, wanted, flags),
        _LONGEST_S,
    )
    _log.info("moved to %s in %.1f s", departure.peer, time.monotonic() - began_at)
