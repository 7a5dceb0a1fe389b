"""Changes of what one host sees, each of one thing alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Optional

from he_fsm.metadata.codec import GlobalBlock
from he_fsm.metadata.record import HostRecord
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.snapshot import Health, LeaseView, LocalVm, OwnerState, Snapshot, VmState
from he_fsm.why.outlook import Change

# How long a shutdown waits for the agent, as he_fsm's packages set it (seconds).
_SHUTDOWN_S: Final = 300.0


def score_of(host_id: int, score: int) -> Change:
    """Return the change by which a host writes another score; it may be the one that sees it."""

    def changed(snapshot: Snapshot, _since_s: float) -> Snapshot:
        own = snapshot.own
        if own is not None and host_id == snapshot.host_id:
            snapshot = snapshot._replace(own=own._replace(score=score))
        return _with_record(snapshot, host_id, lambda record: record._replace(score=score))

    return changed


def silence_of(host_id: int) -> Change:
    """Return the change by which a host writes nothing more."""
    last: list[HostRecord] = []

    def kept(record: HostRecord) -> HostRecord:
        if not last:
            last.append(record)
        return last[0]

    return lambda snapshot, _since_s: _with_record(snapshot, host_id, kept)


def power_loss_of(host_id: int, expiry_s: float) -> Change:
    """Return the change by which a host writes nothing more and renews none of its leases."""
    silent = silence_of(host_id)

    def changed(snapshot: Snapshot, since_s: float) -> Snapshot:
        leases = snapshot.leases
        if leases is not None and leases.owner == host_id:
            free_at = snapshot.now - since_s + expiry_s
            failing = leases._replace(owner_state=OwnerState.FAILING, free_at=free_at)
            snapshot = snapshot._replace(leases=failing)
        return silent(snapshot, since_s)

    return changed


def orderly_shutdown(snapshot: Snapshot, since_s: float) -> Snapshot:
    """Return what a host sees that is about to be shut down in order, and waits for its agent."""
    own = snapshot.own
    return snapshot._replace(
        leaves_by=snapshot.now - since_s + _SHUTDOWN_S,
        own=None if own is None else own._replace(score=0),
    )


def local_maintenance(snapshot: Snapshot, _since_s: float) -> Snapshot:
    """Return what this host sees in local maintenance."""
    return snapshot._replace(local_maintenance=True)


def global_maintenance(*, is_on: bool) -> Change:
    """Return the change that sets or ends global maintenance."""

    def changed(snapshot: Snapshot, _since_s: float) -> Snapshot:
        board = snapshot.whiteboard
        if board is None:
            return snapshot
        return snapshot._replace(whiteboard=Whiteboard(GlobalBlock(is_on), board.slots))

    return changed


def bad_page(snapshot: Snapshot, _since_s: float) -> Snapshot:
    """Return what this host sees if the health page of the VM here is bad."""
    return snapshot._replace(vm=LocalVm(snapshot.vm.state, Health.BAD))


def paused_vm(snapshot: Snapshot, _since_s: float) -> Snapshot:
    """Return what this host sees if the VM here is paused."""
    return snapshot._replace(vm=LocalVm(VmState.PAUSED, Health.BAD))


def dead_vm(snapshot: Snapshot, _since_s: float) -> Snapshot:
    """Return what this host sees if the VM here is gone, and its lease with it."""
    leases = None if snapshot.leases is None else _free(snapshot.leases)
    return snapshot._replace(vm=LocalVm(VmState.ABSENT), leases=leases)


def lost_storage(snapshot: Snapshot, _since_s: float) -> Snapshot:
    """Return what this host sees if it can't read the shared storage."""
    return snapshot._replace(whiteboard=None)


def _free(leases: LeaseView) -> LeaseView:
    return leases._replace(owner=None, owner_state=OwnerState.FREE, free_at=None)


def _with_record(
    snapshot: Snapshot, host_id: int, change: Callable[[HostRecord], HostRecord]
) -> Snapshot:
    board: Optional[Whiteboard] = snapshot.whiteboard
    record = None if board is None else board.slots.get(host_id)
    if board is None or not isinstance(record, HostRecord):
        return snapshot
    slots = {**board.slots, host_id: change(record)}
    return snapshot._replace(whiteboard=Whiteboard(board.global_block, slots))
