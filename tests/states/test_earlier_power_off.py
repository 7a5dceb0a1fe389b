"""An order to power off belongs to the stop in which it was given."""

from __future__ import annotations

from he_fsm import (
    TALK,
    EngineStatus,
    Health,
    HostRecord,
    LeaseView,
    LocalVm,
    Memory,
    OwnerState,
    ShutDownVm,
    Snapshot,
    State,
    VmState,
    Whiteboard,
    step,
)
from he_fsm.metadata import GlobalBlock
from he_fsm.remembered import VmWatch

NOW = 400.0


def sick_engine() -> Snapshot:
    status = EngineStatus("up", "bad", "Up", "failed liveliness check")
    return Snapshot(
        now=NOW,
        host_id=1,
        vm=LocalVm(VmState.UP, Health.BAD),
        own=HostRecord(host_id=1, timestamp=1, score=2400, engine=status, hostname="host1"),
        whiteboard=Whiteboard(GlobalBlock(maintenance=False), {}),
        leases=LeaseView(owner=1, owner_state=OwnerState.LIVE),
    )


def test_a_guest_that_is_asked_to_shut_down_is_given_its_time_whatever_was_ordered_before() -> None:
    # It was powered off once, which did nothing, and the VM recovered.
    watch = VmWatch(since=0.0, was_good=True, bad_since=NOW - 300.0, power_off_at=50.0)
    memory = Memory.beginning(0.0)._replace(
        state=State.ENGINE_UP,
        read_at=0.0,
        global_maintenance=False,
        vm=watch,
    )
    stopping = step(memory, sick_engine(), TALK)
    assert stopping.effects[0] == ShutDownVm()
    after = step(stopping.memory, sick_engine(), TALK)
    assert after.edge is None
    assert after.wake_at == NOW + TALK.stop_timeout_s
