"""
The engine VM that is here, followed from look to look: since when, and how it has been.

"Bad for so long" counts only time in which somebody looked. A wait runs from `..._since` on while
looks see the trouble. Where a look can't tell, or none came for longer than two loops, what had
been counted by then is kept in `..._before_s`, and the wait goes on with the next look that can.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from he_fsm.memory import Memory
from he_fsm.remembered import VmWatch
from he_fsm.snapshot import Health, Snapshot, VmState
from he_fsm.states.names import State

_JUDGES_AN_END = frozenset(
    (State.UNKNOWN, State.ENGINE_STARTING, State.ENGINE_UP, State.ENGINE_MIGRATING_AWAY)
)


class Wait(NamedTuple):
    """A wait on something that is seen: since when it runs, and what was counted before."""

    since: Optional[float] = None
    before_s: float = 0.0

    def interrupted(self, looked_at: Optional[float]) -> Wait:
        """Return the wait after a look that could not tell; *looked_at*: the look before it."""
        if self.since is None:
            return self
        seen_s = 0.0 if looked_at is None else max(0.0, looked_at - self.since)
        return Wait(None, self.before_s + seen_s)

    def running(self, now: float) -> Wait:
        """Return the wait after a look that saw what it waits for."""
        return self if self.since is not None else Wait(now, self.before_s)


def watch_vm(
    memory: Memory, snapshot: Snapshot, unseen_s: float, *, has_slept: bool = False
) -> Optional[VmWatch]:
    """
    Follow the VM that is here.

    *unseen_s*: how much of the time since the last look is too long to count as observed.
    *has_slept*: this host was suspended since its last look.
    """
    state = snapshot.vm.state
    watch = memory.vm
    if (
        watch is not None
        and state is VmState.UP
        and snapshot.vm.health is Health.GOOD
        and watch.was_good
        and watch.bad_since is None
        and watch.paused_since is None
        and not (watch.bad_before_s or watch.paused_before_s or watch.is_gone or watch.has_slept)
    ):
        return watch
    if state is VmState.ABSENT or state is VmState.ARRIVING:
        # What was here and is gone is judged by the state's own rows before it is forgotten.
        if watch is None or memory.state not in _JUDGES_AN_END:
            return None
        return watch if watch.is_gone else watch._replace(is_gone=True)
    if state is VmState.UNKNOWN:
        if watch is None:
            return None
    elif watch is None or watch.is_gone:
        started_here = memory.state is State.ENGINE_STARTING
        watch = VmWatch(since=snapshot.now, started_here=started_here, has_slept=has_slept)
    if watch.has_slept and _lease_is_its_own(snapshot):
        watch = watch._replace(has_slept=False)
    return _observed(watch, memory, snapshot, unseen_s)


def _lease_is_its_own(snapshot: Snapshot) -> bool:
    leases = snapshot.leases
    return leases is not None and leases.joined and leases.owner == snapshot.host_id


def _observed(watch: VmWatch, memory: Memory, snapshot: Snapshot, unseen_s: float) -> VmWatch:
    vm, now = snapshot.vm, snapshot.now
    bad = Wait(watch.bad_since, watch.bad_before_s)
    paused = Wait(watch.paused_since, watch.paused_before_s)
    was_good = watch.was_good
    if unseen_s:
        bad = bad.interrupted(memory.looked_at)
        paused = paused.interrupted(memory.looked_at)
    if vm.state is VmState.UNKNOWN:
        bad = bad.interrupted(memory.looked_at)
        paused = paused.interrupted(memory.looked_at)
    elif vm.state is VmState.PAUSED:
        bad = bad.interrupted(memory.looked_at)
        # A VM that its storage paused has its whole limit from when the storage is back.
        paused = Wait() if snapshot.whiteboard is None else paused.running(now)
    else:
        paused = Wait()
        if vm.health is Health.GOOD:
            was_good, bad = True, Wait()
        elif vm.health is Health.UNKNOWN and vm.state is not VmState.STARTING:
            bad = bad.interrupted(memory.looked_at)
        else:
            bad = bad.running(now)
    return _with_waits(watch, was_good, bad, paused)


def _with_waits(watch: VmWatch, was_good: bool, bad: Wait, paused: Wait) -> VmWatch:
    """Return the watch with these waits; the same one where nothing has changed."""
    if (
        was_good == watch.was_good
        and bad.since == watch.bad_since
        and bad.before_s == watch.bad_before_s
        and paused.since == watch.paused_since
        and paused.before_s == watch.paused_before_s
    ):
        return watch
    return watch._replace(
        was_good=was_good,
        bad_since=bad.since,
        bad_before_s=bad.before_s,
        paused_since=paused.since,
        paused_before_s=paused.before_s,
    )
