"""
The decision: what one host does next, from what it remembers and what it sees.

Theory of operation
-------------------

Every host decides alone, and all hosts must come to the same answer. So a decision is a pure
function of values; whatever reads, writes, waits or measures is outside, and is done by the caller.

- A **snapshot** (`he_fsm.snapshot`) is all that a host can see at one moment: its own VM, the
  whiteboard with every host's record, the leases, and how earlier effects ended. Its time is the
  host's monotonic clock.
- The **memory** (`he_fsm.memory`) is all that a host remembers between two decisions: its state,
  when each other host's record last grew, how the VM has been, which runs ended badly.
- `observe` (`he_fsm.observe`) takes a snapshot in: it returns a **view**, which is the new memory
  and what follows from it (who is alive, who should run the engine). Guards ask the view, and
  nothing else. A guard that compares something with the time asks `View.due`, which notes when
  the answer would change.
- The **table** (`he_fsm.states.table`) has the rows of each state, in order. A row has a guard, the
  next state, and the effects. `step` takes the first row whose guard holds; if none does, the
  host stays in its state.
- A **step** is the answer: the new memory, the effects as values (`he_fsm.effects`), the row and
  the reason in words. `wake_at` is the earliest time at which the answer can change without news.
  It is the minimum of all times that guards asked `due` about, so that no deadline is forgotten.
- A **tick** (`he_fsm.tick`) is one pass around `step`: rate this host, publish its record, read the
  whiteboard, decide, perform the effects. After an edge the next pass follows at once, because
  the new state may have something to do as well.
- The **loop** repeats ticks: once every `Policy.loop_s`, and at `wake_at` where that is earlier.
  The daemon (`he_fsm.runtime.agent.loop`) and the simulator (`he_fsm.simulate`) are two loops
  around the same tick, and neither has a decision of its own.

For example, host 2 is in state EngineDown and reads that host 1's record does not grow any more.
`observe` keeps the time of its last growth. As soon as that is `Policy.dead_after_s` ago, host 1 is
no longer alive in the view, and placement names host 2. The guard of `best_host` then asks
whether the lease can be taken: its owner renews no more, and the lease expires in 20 s. So no row
holds yet, and `wake_at` is in 20 s. At that time the guard holds: the step has the edge to
EngineStarting and the effect `StartVm`, and whoever performs it acquires the lease first.
"""

from __future__ import annotations

from typing import Final, Optional

from he_fsm.alarms import is_all_well, raise_alarms
from he_fsm.effects import Alarm, Effect, EndGlobal, LetGo, Notify, WriteGlobal
from he_fsm.liveness import Liveness
from he_fsm.memory import Memory
from he_fsm.observe import observe
from he_fsm.placement import Placement
from he_fsm.policy import Policy
from he_fsm.reasons import why_stay
from he_fsm.remembered import VmWatch
from he_fsm.snapshot import Snapshot
from he_fsm.states import leaving
from he_fsm.states.names import State
from he_fsm.states.row import Transition
from he_fsm.states.table import TABLE
from he_fsm.states.view import View
from he_fsm.value import Value

# From so many failures on, one more migration that is tried for a drain and fails is old news.
_OLD_NEWS_FROM = 2
_DRAIN = frozenset((State.ENGINE_STARTING, State.ENGINE_UP, State.ENGINE_MIGRATING_AWAY))


class Step(Value):
    """
    One decision.

    `edge` is the row of the table that was taken, None to stay. `wake_at` is the earliest time
    (own monotonic clock) at which the answer can change while the inputs do not; after an edge
    it is now, for the new state may have an answer of its own, and where the lease is claimed
    from now on, for the others are to read that. `idle_until` is the same on the assumption that
    every living host's record keeps growing. `alarms` are all that are raised and were told.
    """

    __slots__ = (
        "alarms",
        "edge",
        "effects",
        "idle_until",
        "liveness",
        "memory",
        "placement",
        "reason",
        "wake_at",
    )

    def __init__(  # noqa: PLR0913 - one for each part
        self,
        memory: Memory,
        effects: tuple[Effect, ...],
        edge: Optional[Transition],
        reason: str,
        wake_at: float,
        idle_until: float,
        liveness: Liveness,
        placement: Placement,
        alarms: tuple[Alarm, ...] = (),
    ) -> None:
        """Take the parts."""
        self.memory: Final = memory
        self.effects: Final = effects
        self.edge: Final = edge
        self.reason: Final = reason
        self.wake_at: Final = wake_at
        self.idle_until: Final = idle_until
        self.liveness: Final = liveness
        self.placement: Final = placement
        self.alarms: Final = alarms


def step(memory: Memory, snapshot: Snapshot, policy: Policy) -> Step:
    """
    Decide what this host does next: the first row that holds, else stay.

    Pure and total: it reads nothing but its arguments, and raises nothing for any snapshot.
    """
    view = observe(memory, snapshot, policy)
    for edge in TABLE[memory.state]:
        if edge.when(view):
            return _take(edge, view)
    return _stay(view)


def _stay(view: View) -> Step:
    effects: tuple[Effect, ...] = ()
    active: tuple[Alarm, ...] = ()
    if not is_all_well(view):
        raised = raise_alarms(view)
        view.memory, active = raised.memory, raised.active
        effects = raised.effects
        if view.memory.global_problem is not None:
            effects = (*raised.effects, *_heal_slot_0(view))
    if view.memory.global_until is not None:
        effects = (*effects, *_end_global(view))
    if view.is_leaving and not view.memory.has_let_go:
        effects = (*effects, *_let_go(view))
    wakes_at = view.wakes_at
    return Step(
        view.memory,
        effects,
        None,
        why_stay(view),
        min(wakes_at, view.liveness.changes_at),
        wakes_at,
        view.liveness,
        view.placement,
        active,
    )


def _let_go(view: View) -> tuple[LetGo, ...]:
    """Return the effect that lets the host go down, once no VM here needs it; at most once."""
    why = leaving.may_let_go(view)
    if not why:
        return ()
    view.memory = view.memory._replace(has_let_go=True)
    return (LetGo(why),)


def _heal_slot_0(view: View) -> tuple[WriteGlobal, ...]:
    """Write slot 0's last good value again, if its damage lasts: one host after the other."""
    memory, policy = view.memory, view.policy
    value, since = memory.global_maintenance, memory.global_problem_since
    if value is None or since is None or not view.can_read:
        return ()
    own_id = view.snapshot.host_id
    before = sum(1 for host_id in view.liveness.alive if host_id < own_id)
    wait_s = policy.loop_s * (1 + min(before, policy.slot_0_writers - 1))
    if memory.global_is_old:
        # Whoever has read it since knows better.
        wait_s += policy.dead_after_s
    if not view.due(since + wait_s):
        return ()
    # What this host reads may be wrong, and not what stands there: then each write undoes what
    # somebody has set meanwhile.
    view.memory = memory._replace(
        global_problem_since=view.now + max(0.0, policy.alarm_repeat_s - wait_s)
    )
    view.due(view.now + max(wait_s, policy.alarm_repeat_s))
    return (WriteGlobal(value, memory.global_until),)


def _end_global(view: View) -> tuple[EndGlobal, ...]:
    """End a global maintenance whose time is over by the wall clock: one host after the other."""
    memory, policy = view.memory, view.policy
    until, offset_s = memory.global_until, view.snapshot.wall_offset_s
    is_on = memory.global_maintenance is True and memory.global_problem is None
    if until is None or offset_s is None or not is_on or not view.can_read:
        return ()
    own_id = view.snapshot.host_id
    before = sum(1 for host_id in view.liveness.alive if host_id < own_id)
    at = until - offset_s + policy.loop_s * min(before, policy.slot_0_writers - 1)
    if memory.global_ended_at is not None:
        at = max(at, memory.global_ended_at + policy.loop_s)
    if not view.due(at):
        return ()
    view.memory = memory._replace(global_ended_at=view.now)
    view.due(view.now + policy.loop_s)
    return (EndGlobal(until),)


def _take(edge: Transition, view: View) -> Step:
    vm = view.memory.vm
    if vm is not None:
        vm = _watch_of_the_next_state(edge, vm)
    before = view.memory
    # The waits that are not named here are over.
    memory = Memory(
        state=edge.to,
        since=view.now,
        began_at=before.began_at,
        looked_at=before.looked_at,
        boot_ahead=before.boot_ahead,
        sightings=before.sightings,
        read_at=before.read_at,
        is_blind=before.is_blind,
        global_maintenance=before.global_maintenance,
        global_is_old=before.global_is_old,
        global_problem=before.global_problem,
        global_problem_since=before.global_problem_since,
        global_until=before.global_until,
        global_ended_at=before.global_ended_at,
        failed=before.failed,
        well_since=before.well_since,
        vm=vm,
        moves=before.moves,
        refused_at=before.refused_at,
        arriving_since=before.arriving_since,
        draining_since=before.draining_since,
        keeps_engine=before.keeps_engine,
        has_let_go=before.has_let_go,
        alarms=before.alarms,
    )
    if edge.then is not None:
        memory = edge.then(view, memory)
    reason = edge.says if edge.because is None else edge.because(view)
    effects = edge.effects(view)
    if _is_told(edge, view):
        subject = f"{edge.source.value}-{edge.to.value}: {reason}"
        effects = (*effects, Notify(subject))
    return Step(memory, effects, edge, reason, view.now, view.now, view.liveness, view.placement)


def _watch_of_the_next_state(edge: Transition, vm: VmWatch) -> VmWatch:
    if vm.power_off_at is not None and edge.source is not State.ENGINE_STOPPING:
        # An order to power off belongs to the stop in which it was given.
        vm = vm._replace(power_off_at=None)
    if edge.to is State.ENGINE_STOPPING and edge.does:
        vm = vm._replace(is_ordered_down=True)
    return vm


def _is_told(edge: Transition, view: View) -> bool:
    """Return whether people are told of an edge: not by all hosts, nor time after time."""
    if not edge.notifies or (edge.by_one and not view.speaks):
        return False
    memory = view.memory
    if edge.in_series:
        # From the block on an alarm tells that it goes on (he_fsm.alarms).
        return memory.failed.count < view.policy.failed_starts_max
    is_try = edge.source in _DRAIN and edge.to in _DRAIN and memory.draining_since is not None
    return not is_try or memory.moves.failures < _OLD_NEWS_FROM
