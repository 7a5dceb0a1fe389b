"""
The cluster around the hosts' loops: whiteboard, leases, VMs, and one action at a time.

It is the world of `he_fsm.simulate` on a clock of whole loops. An action takes a state and returns
another. Nothing here decides, and nothing starts without the lease.
"""

from __future__ import annotations

from typing import Any, Optional

from he_fsm.check import layout as at
from he_fsm.check.heard import Heard
from he_fsm.check.layout import State, place, relation_at
from he_fsm.check.leases import Lease, LeaseTimes
from he_fsm.check.local import (
    GROWN,
    MIGRATION_FAILED,
    REBOOTED,
    REFUSED,
    SAME,
    STALE_BOOT,
    Decision,
    Given,
    LocalSteps,
    Orders,
)
from he_fsm.check.scale import move_wait_loops
from he_fsm.check.suspension import looked
from he_fsm.check.vms import Vms
from he_fsm.memory import Memory
from he_fsm.metadata.layout import PARSE_VERSION
from he_fsm.snapshot import Health, LocalVm, VmState

# A start, a boot, a shutdown and a migration last longer than the next loop of every host
# (`WAITS`), so that every fault can strike while they are in progress.
_STATES = {
    at.STARTING: VmState.STARTING,
    at.RUNNING: VmState.UP,
    at.STOPPING: VmState.STOPPING,
    at.LEAVING: VmState.LEAVING,
}
# The flags that affect what an agent reads of the others.
_SEEN_BY = at.NEWER | at.CUT | at.DEAF | at.NO_SANLOCK | at.LATE | at.IS_DOOMED | at.SLEPT
# Stands for a VM that is not here yet.
_ARRIVES = -1


class Cluster(Vms):
    """The rules of the surroundings, for hosts with their policies."""

    def __init__(self, steps: LocalSteps, *, pause_keeps_lease: bool = True) -> None:
        """Take the hosts, and whether a VM that is paused has its lease all the same."""
        self.hosts = hosts = len(steps.policies)
        super().__init__(hosts)
        self.steps = steps
        self.pause_keeps_lease = pause_keeps_lease
        policy = steps.policy
        self.times = LeaseTimes(steps.policies)
        self._move_wait = move_wait_loops(policy)
        self._relations = place(hosts)
        self._relation_rows = [relation_at(hosts, host, 0) for host in range(hosts)]
        # For each writer, the indices of its slot's relations to what the others read last.
        self._seen_at = [
            [relation_at(hosts, reader, host) for reader in range(hosts) if reader != host]
            for host in range(hosts)
        ]
        self._all_same = [SAME] * hosts
        self._heard = Heard(steps, hosts)
        self._views: dict[int, LocalVm] = {}
        self._leases: dict[tuple[int, int, tuple[int, ...], int], Lease] = {}
        self._found: dict[tuple[int, ...], tuple[int, int]] = {}
        self._decided: dict[tuple[Any, ...], Decision] = {}

    # What hosts see.

    def vm_seen(self, state: State, host: int) -> LocalVm:
        """Return what the hypervisor of a host says, and what the health page answers."""
        p = self._places[host]
        if state[p + at.FLAGS] & at.SILENT:
            return LocalVm(VmState.UNKNOWN)
        vm = state[p + at.VM]
        if not vm:
            return LocalVm(VmState.ARRIVING if self._arrives(state, host) else VmState.ABSENT)
        seen = self._views.get(vm)
        if seen is None:
            health = Health.GOOD if at.is_good(vm) else Health.BAD
            phase = vm & at.PHASE
            word = _STATES[phase]
            if vm & at.PAUSED and phase != at.LEAVING:
                word = VmState.PAUSED
            seen = self._views[vm] = LocalVm(word, health)
        return seen

    def lease_seen(self, state: State, host: int) -> Lease:
        """Return what the lease manager of a host shows."""
        lapses = state[at.HEAD + at.LAPSE : self._relations : at.WIDTH]
        flags = state[self._places[host] + at.FLAGS]
        if flags & at.LATE:
            lapses = tuple(lapse and lapse - (other != host) for other, lapse in enumerate(lapses))
        key = host, state[at.OWNER], lapses, at.doomed_loops(flags)
        seen = self._leases.get(key)
        if seen is None:
            seen = self._leases[key] = self.times.lease(*key)
        return seen

    def can_take(self, state: State, host: int) -> bool:
        """Return whether a host would acquire the engine's lease now."""
        p = self._places[host]
        if state[p + at.LAPSE]:
            return False
        owner = state[at.OWNER]
        if owner in (0, host + 1):
            return True
        lapse = state[self._places[owner - 1] + at.LAPSE]
        return lapse - bool(state[p + at.FLAGS] & at.LATE) > self.times.expiries[host]

    # The parts of a loop.

    def found(self, state: State, host: int) -> tuple[int, int]:
        """Return what a host's loop would find now, and the record that it would write (or 0)."""
        p = self._places[host]
        flags, vm, lapse = state[p + at.FLAGS], state[p + at.VM], state[p + at.LAPSE]
        if not vm and self._arrives(state, host):
            vm = _ARRIVES
        key = host, state[p + at.MEMORY], state[p + at.RESULT], flags, vm, lapse > 0
        found = self._found.get(key)
        if found is None:
            number = self.steps.look(
                host + 1,
                state[p + at.MEMORY],
                self.vm_seen(state, host),
                state[p + at.RESULT],
                gateway=not flags & at.NO_GATEWAY,
                maintenance=bool(flags & at.MAINTENANCE),
                newer=bool(flags & at.NEWER),
                writes=not (flags & (at.CUT | at.MUTE) or lapse),
                doomed=at.doomed_loops(flags),
                leaves=at.leaving_loops(flags),
            )
            found = self._found[key] = number, self.steps.numbers.known[number].own
        return found

    def _arrives(self, state: State, host: int) -> bool:
        """Return whether a VM migrates to a host, or its hypervisor waits for one that did."""
        if state[self._places[host] + at.FLAGS] & at.WAITS_FOR_VM:
            return True
        vms = state[at.HEAD + at.VM : self._relations : at.WIDTH]
        # Fast path: seldom any VM has a target.
        return max(vms) >> at.TARGET > 0 and any(
            # A suspended source sends nothing.
            vm >> at.TARGET == host + 1 and not state[p + at.FLAGS] & at.ASLEEP
            for p, vm in zip(self._places, vms)
        )

    def write(self, state: State, host: int, found: int, own: int) -> State:
        """Begin a loop: note what it found, and write the record to the slot."""
        p = self._places[host]
        new = list(state)
        new[p + at.LOOP] = found
        new[p + at.RESULT] = 0
        if own:
            self.put(new, host, own)
        return tuple(new)

    def decision(self, state: State, host: int) -> Decision:
        """Return the decision of a host if it reads now."""
        p = self._places[host]
        memory, loop, heard = state[p + at.MEMORY], state[p + at.LOOP], state[p + at.HEARD]
        flags = state[p + at.FLAGS] & _SEEN_BY
        key: tuple[Any, ...]
        if flags & at.CUT:
            key = host, memory, loop, heard, flags
        elif flags & at.DEAF:
            lapses = state[at.HEAD + at.LAPSE : self._relations : at.WIDTH]
            key = host, memory, loop, heard, flags, state[at.OWNER], lapses
        else:
            end = self._relations
            r = self._relation_rows[host]
            key = (
                host,
                memory,
                loop,
                heard,
                flags,
                state[at.OWNER],
                state[at.GLOBAL],
                state[at.HEAD + at.SLOT : end : at.WIDTH],
                state[at.HEAD + at.LAPSE : end : at.WIDTH],
                state[r : r + self.hosts],
            )
        decision = self._decided.get(key)
        if decision is None:
            decision = self._decided[key] = self._decide(state, host)
        return decision

    def _decide(self, state: State, host: int) -> Decision:
        p = self._places[host]
        lease: Optional[Lease] = None
        slots: Optional[tuple[int, ...]] = None
        relations: tuple[int, ...] = ()
        in_global = False
        flags = state[p + at.FLAGS]
        if not flags & (at.CUT | at.NO_SANLOCK):
            lease = self.lease_seen(state, host)
        if not flags & (at.CUT | at.DEAF):
            slots = state[at.HEAD + at.SLOT : self._relations : at.WIDTH]
            r = self._relation_rows[host]
            relations = state[r : r + self.hosts]
            in_global = bool(state[at.GLOBAL])
        decision = self.steps.decide(
            Given(
                host + 1,
                state[p + at.MEMORY],
                state[p + at.LOOP],
                lease,
                slots,
                relations,
                in_global,
                bool(state[p + at.FLAGS] & at.NEWER),
                at.slept_loops(flags),
            )
        )
        known = self.steps.memory(state[p + at.MEMORY]).sightings
        version = PARSE_VERSION + bool(flags & at.NEWER)
        return self._heard.judged(
            decision, state[p + at.HEARD], host, slots, relations, known, version
        )

    def read(self, state: State, host: int, decision: Decision) -> State:
        """Apply a decision; its orders are carried out by another action (`perform`)."""
        p = self._places[host]
        new = list(state)
        new[p + at.MEMORY] = decision.memory
        new[p + at.HEARD] = decision.heard
        loop = at.TO_BEGIN if decision.looks_again else at.OVER
        new[p + at.LOOP] = decision.orders or loop
        if not state[p + at.FLAGS] & (at.CUT | at.DEAF):
            r = self._relation_rows[host]
            new[r : r + self.hosts] = self._all_same
        if decision.counted:
            failed = state[p + at.FAILED]
            count = min(self.steps.policy.failed_starts_max, at.failed_starts(failed) + 1)
            new[p + at.FAILED] = at.failed_of(count, 0, at.wait_after_move(failed))
        if decision.move_failed:
            failed = new[p + at.FAILED]
            new[p + at.FAILED] = at.failed_of(
                at.failed_starts(failed), at.failed_ago(failed), self._move_wait
            )
        if new[p + at.FLAGS] & (at.STRAY | at.SLEPT):
            looked(self.steps, new, host)
        return tuple(new)

    def perform(self, state: State, host: int) -> State:
        """Carry out the orders; then the host makes another pass at once."""
        p = self._places[host]
        orders: Orders = self.steps.numbers.known[state[p + at.LOOP]]
        new = list(state)
        new[p + at.LOOP] = at.TO_BEGIN
        for word in orders.effects:
            if word == "let go":
                self.go_down(new, host)
            elif word == "stop agent":
                self.stop_agent(new, host)
                self.go_down_without_agent(new, host)
            elif not new[p + at.FLAGS] & at.SILENT:
                self._order(new, host, word)
        return tuple(new)

    def stop_agent(self, new: list[int], host: int) -> None:
        """Stop an agent: write its last record, and release its host id unless a VM needs it."""
        p = self._places[host]
        is_told = not (new[p + at.FLAGS] & (at.CUT | at.MUTE) or new[p + at.LAPSE])
        if is_told:
            self.put(new, host, self.steps.stopped(new[p + at.SLOT]))
        needs_id = new[p + at.VM] or self._arrives(tuple(new), host)
        self.forget_agent(new, host)
        new[p + at.LOOP] = at.NO_AGENT
        if is_told and not needs_id:
            new[p + at.LAPSE] = self.times.expiry_max + 1
            if new[at.OWNER] == host + 1:
                new[at.OWNER] = 0

    def begin_shutdown(self, new: list[int], host: int) -> bool:
        """Begin an orderly shutdown of a host that runs; without an agent it is over at once."""
        p = self._places[host]
        if new[p + at.FLAGS] & (at.POWER | at.IS_LEAVING) != at.POWER:
            return False
        new[p + at.FLAGS] += at.LEAVES_IN * at.A_LOOP_OF_LEAVING
        self.go_down_without_agent(new, host)
        return True

    def go_down_without_agent(self, new: list[int], host: int) -> None:
        """Go on with a shutdown whose host no longer has an agent to wait for."""
        flags = new[self._places[host] + at.FLAGS]
        if flags & at.IS_LEAVING and not flags & at.AGENT:
            self.go_down(new, host)

    def go_down(self, new: list[int], host: int) -> None:
        """End an orderly shutdown: the agent stops, the VM ends with its lease released."""
        if new[self._places[host] + at.FLAGS] & at.AGENT:
            self.stop_agent(new, host)
        if new[self._places[host] + at.VM]:
            self.end_vm(new, host)
        self.lose_power(new, host)

    def lose_power(self, new: list[int], host: int) -> None:
        """Power a host off; its agent keeps only what was on disk."""
        p = self._places[host]
        new[p + at.MEMORY] = self.steps.begun_anew(new[p + at.MEMORY], host + 1, has_booted=True)
        new[p + at.FLAGS] &= ~at.OF_THIS_BOOT
        new[p + at.LAPSE] = new[p + at.LAPSE] or 1
        new[p + at.VM] = new[p + at.RESULT] = new[p + at.HEARD] = 0
        new[p + at.LOOP] = at.NO_AGENT

    def forget_agent(self, new: list[int], host: int) -> None:
        """End an agent; the next one knows only what was on disk."""
        p = self._places[host]
        new[p + at.MEMORY] = self.steps.begun_anew(new[p + at.MEMORY], host + 1, has_booted=False)
        new[p + at.FLAGS] &= ~at.AGENT
        new[p + at.RESULT] = new[p + at.HEARD] = 0

    def put(self, new: list[int], host: int, record: int) -> None:
        """Write a record to a host's slot."""
        p = self._places[host]
        # The first record of a slot has no earlier timestamp, so it can't go back.
        is_first = not new[p + at.SLOT]
        if record != new[p + at.SLOT]:
            if new[at.BUDGET]:
                new[p + at.BEFORE] = new[p + at.SLOT]
            new[p + at.SLOT] = record
        is_fresh = bool(new[p + at.FLAGS] & at.FRESH)
        new[p + at.FLAGS] &= ~at.FRESH
        for r in self._seen_at[host]:
            boots = is_fresh or new[r] in (REBOOTED, STALE_BOOT)
            new[r] = REBOOTED if boots and not is_first else GROWN

    def _order(self, new: list[int], host: int, word: str) -> None:
        p = self._places[host]
        vm = new[p + at.VM]
        phase = vm & at.PHASE
        if word == "start":
            if vm or new[p + at.FLAGS] & at.WAITS_FOR_VM:
                return
            if not self.can_take(tuple(new), host):
                new[p + at.RESULT] = REFUSED
                new[at.DONE] = at.counted(new[at.DONE], at.REFUSED)
                return
            new[at.DONE] = at.counted(new[at.DONE], at.START)
            if not self.pause_keeps_lease:
                self._outrun(new, host)
            new[at.OWNER] = host + 1
            new[p + at.VM] = at.STARTING | at.WAITS
        elif word == "shut down":
            if vm and phase != at.STOPPING and not vm & at.PAUSED:
                new[p + at.VM] = at.STOPPING | at.WAITS
        elif word == "power off":
            self.end_vm(new, host)
        elif word == "cancel":
            if phase == at.LEAVING:
                self.move_fails(new, host)
        elif word == "give up arrival":
            self.give_up_arrival(new, host)
        else:
            new[at.DONE] = at.counted(new[at.DONE], at.MOVE)
            if not self.begin_move(new, host, int(word.partition(" ")[2])):
                new[p + at.RESULT] = MIGRATION_FAILED

    def _outrun(self, new: list[int], host: int) -> None:
        """Mark VMs that are paused elsewhere: this host is about to have the lease."""
        for other, q in enumerate(self._places):
            if other != host and new[q + at.VM] & at.PAUSED:
                new[q + at.VM] |= at.OUTRUN

    def spent(self, new: list[int]) -> list[int]:
        """Use up one fault; after the last one, forget the earlier records that faults can show."""
        new[at.BUDGET] -= 1
        new[at.DONE] = 0
        if not new[at.BUDGET]:
            for p in self._places:
                new[p + at.BEFORE] = 0
        return new

    def flags(self, state: State, host: int) -> int:
        """Return the flags of a host."""
        return state[self._places[host] + at.FLAGS]

    def memory(self, state: State, host: int) -> Memory:
        """Return what a host's agent remembers."""
        return self.steps.memory(state[self._places[host] + at.MEMORY])
