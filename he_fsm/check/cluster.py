"""
The cluster around the hosts' loops: whiteboard, leases, VMs, and one action at a time.

It is the world of `he_fsm.simulate` on a clock that goes by whole loops. An action takes a state
and gives another; nothing here decides, and nothing starts without the lease.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Optional

from he_fsm.check import layout as at
from he_fsm.check.layout import State, place, relation_at
from he_fsm.check.local import (
    GROWN,
    MIGRATION_DONE,
    MIGRATION_FAILED,
    REBOOTED,
    REFUSED,
    SAME,
    STALE_BOOT,
    START_FAILED,
    Decision,
    Given,
    Lease,
    LocalSteps,
    Orders,
)
from he_fsm.check.memories import now_of
from he_fsm.check.properties import Property
from he_fsm.check.scale import LOOP_S, loops
from he_fsm.memory import Memory
from he_fsm.snapshot import Health, LocalVm, VmState

# A start, a boot, a shutdown and a migration all last beyond the next loops of all hosts (`WAITS`),
# so that every fault can strike while they are under way.
_STATES = {
    at.STARTING: VmState.STARTING,
    at.RUNNING: VmState.UP,
    at.STOPPING: VmState.STOPPING,
    at.LEAVING: VmState.LEAVING,
}
# Failed starts that a host knows of: count, and loops since the last one.
_COUNT_AT = 8
# In the place of a VM that is not here yet.
_ARRIVES = -1


def failed_of(count: int) -> int:
    """Write that a host knows of so many failed starts, the last of them now."""
    return count << _COUNT_AT


class Cluster:
    """The rules of the surroundings, for a number of hosts and a policy."""

    def __init__(self, steps: LocalSteps, hosts: int, kinds: Collection[str]) -> None:
        """Compute the leases' times in loops; *kinds*: what may go wrong."""
        self.steps = steps
        self._kinds = kinds
        self.hosts = hosts
        policy = steps.policy
        self.expiry = loops(policy.lease_expiry_s)
        # As late as sanlock may be: the polite kill, and the grace before the other one.
        self.kill = loops(policy.lease_kill_s + policy.kill_grace_s)
        # A renewal is missed when others should have seen it (he_fsm.simulate.lockspace).
        self.overdue = int(5 * policy.io_timeout_s // LOOP_S) + 1
        self._forget = loops(policy.failed_starts_forget_s)
        self._places = [place(host) for host in range(hosts)]
        self._relations = place(hosts)
        self._relation_rows = [relation_at(hosts, host, 0) for host in range(hosts)]
        # Of each writer, where it is written how its slot stands to what the others saw.
        self._seen_at = [
            [relation_at(hosts, reader, host) for reader in range(hosts) if reader != host]
            for host in range(hosts)
        ]
        self._all_same = [SAME] * hosts
        self._views: dict[int, LocalVm] = {}
        self._leases: dict[tuple[int, int, tuple[int, ...]], Lease] = {}
        self._found: dict[tuple[int, ...], tuple[int, int]] = {}
        self._decided: dict[tuple[Any, ...], Decision] = {}
        self._broken: dict[tuple[int, ...], list[tuple[Property, str]]] = {}

    # What hosts see.

    def vm_seen(self, state: State, host: int) -> LocalVm:
        """Give what the hypervisor of a host says, and what the health page answers."""
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
        """Give what the lease manager of a host shows."""
        lapses = state[at.HEAD + at.LAPSE : self._relations : at.WIDTH]
        key = host, state[at.OWNER], lapses
        seen = self._leases.get(key)
        if seen is None:
            seen = self._leases[key] = self._lease(*key)
        return seen

    def _lease(self, host: int, owner: int, lapses: tuple[int, ...]) -> Lease:
        if lapses[host]:
            return Lease(joined=False, owner=0, fails=False, left=0, dead=())
        dead = tuple(
            other
            for other, lapse in enumerate(lapses, start=1)
            if lapse > self.expiry and other != host + 1
        )
        fails, left = False, 0
        if owner:
            lapse = lapses[owner - 1]
            if lapse > self.overdue:
                fails, left = True, max(0, self.expiry + 1 - lapse)
        return Lease(joined=True, owner=owner, fails=fails, left=left, dead=dead)

    def can_take(self, state: State, host: int) -> bool:
        """Whether an acquire by a host gets the engine's lease now."""
        if state[self._places[host] + at.LAPSE]:
            return False
        owner = state[at.OWNER]
        if owner in (0, host + 1):
            return True
        return state[self._places[owner - 1] + at.LAPSE] > self.expiry

    # The parts of a loop.

    def found(self, state: State, host: int) -> tuple[int, int]:
        """Give what a loop of a host would find now, and the record that it would write (or 0)."""
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
                writes=not (flags & at.CUT or lapse),
            )
            found = self._found[key] = number, self.steps.numbers.known[number].own
        return found

    def _arrives(self, state: State, host: int) -> bool:
        """Whether a migration to a host is under way."""
        vms = state[at.HEAD + at.VM : self._relations : at.WIDTH]
        # Hardly ever any VM has a target.
        return max(vms) >> at.TARGET > 0 and any(vm >> at.TARGET == host + 1 for vm in vms)

    def write(self, state: State, host: int, found: int, own: int) -> State:
        """Begin a loop: what was found, and the record in the slot."""
        p = self._places[host]
        new = list(state)
        new[p + at.LOOP] = found
        new[p + at.RESULT] = 0
        if own:
            self.put(new, host, own)
        return tuple(new)

    def decision(self, state: State, host: int) -> Decision:
        """Give what a host would decide, were it to read now."""
        p = self._places[host]
        flags = state[p + at.FLAGS]
        key: tuple[Any, ...]
        if flags & at.CUT:
            key = host, state[p + at.MEMORY], state[p + at.LOOP], flags & at.NEWER
        else:
            end = self._relations
            r = self._relation_rows[host]
            key = (
                host,
                state[p + at.MEMORY],
                state[p + at.LOOP],
                flags & at.NEWER,
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
        if not state[p + at.FLAGS] & at.CUT:
            lease = self.lease_seen(state, host)
            slots = state[at.HEAD + at.SLOT : self._relations : at.WIDTH]
            r = self._relation_rows[host]
            relations = state[r : r + self.hosts]
            in_global = bool(state[at.GLOBAL])
        return self.steps.decide(
            Given(
                host + 1,
                state[p + at.MEMORY],
                state[p + at.LOOP],
                lease,
                slots,
                relations,
                in_global,
                bool(state[p + at.FLAGS] & at.NEWER),
            )
        )

    def read(self, state: State, host: int, decision: Decision) -> State:
        """Go on as decided; orders are carried out in an action of their own."""
        p = self._places[host]
        new = list(state)
        new[p + at.MEMORY] = decision.memory
        loop = at.TO_BEGIN if decision.has_edge else at.OVER
        new[p + at.LOOP] = decision.orders or loop
        if not state[p + at.FLAGS] & at.CUT:
            r = self._relation_rows[host]
            new[r : r + self.hosts] = self._all_same
        if decision.counted:
            count = min(
                self.steps.policy.failed_starts_max, (state[p + at.FAILED] >> _COUNT_AT) + 1
            )
            new[p + at.FAILED] = failed_of(count)
        return tuple(new)

    def perform(self, state: State, host: int) -> State:
        """Carry out what was decided; after an edge the host looks again at once."""
        p = self._places[host]
        orders: Orders = self.steps.numbers.known[state[p + at.LOOP]]
        new = list(state)
        new[p + at.LOOP] = at.TO_BEGIN
        for word in orders.effects:
            if word == "stop agent":
                self._stop_agent(new, host)
            elif not new[p + at.FLAGS] & at.SILENT:
                self._order(new, host, word)
        return tuple(new)

    def _stop_agent(self, new: list[int], host: int) -> None:
        """The agent's last record says so, and its host id is given back."""
        p = self._places[host]
        if not new[p + at.FLAGS] & at.CUT:
            last = self.steps.stopped(new[p + at.SLOT])
            self.put(new, host, last)
        self.forget_agent(new, host)
        new[p + at.LOOP] = at.NO_AGENT
        new[p + at.LAPSE] = self.expiry + 1
        if new[at.OWNER] == host + 1:
            new[at.OWNER] = 0

    def forget_agent(self, new: list[int], host: int) -> None:
        """An agent is gone: what a later one knows of its time is what was on disk."""
        p = self._places[host]
        memory = self.steps.memory(new[p + at.MEMORY]).after_restart(now_of(host + 1))
        new[p + at.MEMORY] = self.steps.keep(memory, host + 1)
        new[p + at.FLAGS] &= ~at.AGENT
        new[p + at.RESULT] = 0

    def put(self, new: list[int], host: int, record: int) -> None:
        """Write a record to a host's slot."""
        p = self._places[host]
        if record != new[p + at.SLOT]:
            if new[at.BUDGET]:
                new[p + at.BEFORE] = new[p + at.SLOT]
            new[p + at.SLOT] = record
        is_fresh = bool(new[p + at.FLAGS] & at.FRESH)
        new[p + at.FLAGS] &= ~at.FRESH
        for r in self._seen_at[host]:
            boots = is_fresh or new[r] in (REBOOTED, STALE_BOOT)
            new[r] = REBOOTED if boots else GROWN

    def _order(self, new: list[int], host: int, word: str) -> None:
        p = self._places[host]
        vm = new[p + at.VM]
        phase = vm & at.PHASE
        if word == "start":
            if vm:
                return
            if not self.can_take(tuple(new), host):
                new[p + at.RESULT] = REFUSED
                return
            new[at.OWNER] = host + 1
            new[p + at.VM] = at.STARTING | at.WAITS
        elif word == "shut down":
            if vm and phase != at.STOPPING and not vm & at.PAUSED:
                new[p + at.VM] = at.STOPPING | at.WAITS
        elif word == "power off":
            self.end_vm(new, host)
        elif word == "cancel":
            if phase == at.LEAVING:
                self._move_fails(new, host)
        else:
            new[at.MOVES] = min(new[at.MOVES] + 1, self.hosts + 2)
            if not self.begin_move(new, host, int(word.partition(" ")[2])):
                new[p + at.RESULT] = MIGRATION_FAILED

    def begin_move(self, new: list[int], host: int, target: int) -> bool:
        """Begin a live migration, if the VM runs here."""
        p = self._places[host]
        vm = new[p + at.VM]
        if vm & at.PHASE != at.RUNNING:
            return False
        health = vm & (at.BOOTED | at.SICK | at.PAUSED)
        new[p + at.VM] = at.LEAVING | at.WAITS | health | target << at.TARGET
        return True

    def end_vm(self, new: list[int], host: int) -> None:
        """The VM's process ends, and its lease with it where the storage can be told."""
        p = self._places[host]
        new[p + at.VM] = 0
        is_told = new[p + at.FLAGS] & at.POWER and not new[p + at.LAPSE]
        if new[at.OWNER] == host + 1 and is_told:
            new[at.OWNER] = 0

    def _move_fails(self, new: list[int], host: int) -> None:
        p = self._places[host]
        new[p + at.VM] = at.RUNNING | new[p + at.VM] & (at.BOOTED | at.SICK | at.PAUSED)
        if new[p + at.FLAGS] & at.AGENT:
            new[p + at.RESULT] = MIGRATION_FAILED

    # Time.

    def ticks(self, state: State) -> list[tuple[State, str, int]]:
        """
        Let the time between two loops pass: VMs get on, leases run out, memories age.

        Gives the state that comes of it, and where a fault is left those in which a start or a
        migration fails now, with that fault's name and host.
        """
        new = list(state)
        for host, p in enumerate(self._places):
            flags, lapse = new[p + at.FLAGS], new[p + at.LAPSE]
            if lapse:
                lapse = new[p + at.LAPSE] = min(lapse + 1, self.expiry + 1)
                if lapse > self.kill and new[p + at.VM]:
                    self.end_vm(new, host)
            if flags & at.POWER:
                new[p + at.MEMORY] = self.steps.aged(new[p + at.MEMORY], host + 1)
                new[p + at.LOOP] = at.TO_BEGIN if flags & at.AGENT else at.NO_AGENT
            failed = new[p + at.FAILED]
            if failed:
                age = (failed & 0xFF) + 1
                new[p + at.FAILED] = 0 if age >= self._forget else failed + 1
        outcomes = [(new, "", 0)]
        # A VM that arrives now has had its turn.
        for host in [host for host, p in enumerate(self._places) if new[p + at.VM]]:
            outcomes = [after for outcome in outcomes for after in self._vm_gets_on(outcome, host)]
        return [(tuple(after), fault, host) for after, fault, host in outcomes]

    def _vm_gets_on(
        self, outcome: tuple[list[int], str, int], host: int
    ) -> list[tuple[list[int], str, int]]:
        new, _, _ = outcome
        p = self._places[host]
        vm = new[p + at.VM]
        if vm & at.WAITS:
            new[p + at.VM] = vm & ~at.WAITS
            return [outcome]
        phase = vm & at.PHASE
        if vm & (at.PAUSED | at.STUCK):
            # A guest that does not run does not boot, shut down or move.
            return [outcome]
        if phase == at.RUNNING:
            if not vm & at.BOOTED:
                new[p + at.VM] = vm | at.BOOTED
                if not vm & at.SICK:
                    new[p + at.FAILED] = 0
            return [outcome]
        outcomes = [outcome]
        if new[at.BUDGET]:
            outcomes += [bad for bad in self._bad_luck(new, host, phase) if bad[1] in self._kinds]
        if phase == at.STARTING:
            new[p + at.VM] = at.RUNNING | at.WAITS
        elif phase == at.STOPPING:
            self.end_vm(new, host)
        else:
            self._switch_over(new, host)
        return outcomes

    def _bad_luck(self, new: list[int], host: int, phase: int) -> list[tuple[list[int], str, int]]:
        """Give how a start, a shutdown or a migration may fail that would end now."""
        p = self._places[host]
        failing = self.spent(list(new))
        if phase == at.STARTING:
            self.end_vm(failing, host)
            if failing[p + at.FLAGS] & at.AGENT:
                failing[p + at.RESULT] = START_FAILED
            return [(failing, "start", host + 1)]
        stuck = self.spent(list(new))
        stuck[p + at.VM] |= at.STUCK
        if phase == at.STOPPING:
            return [(stuck, "shutdown", host + 1)]
        self._move_fails(failing, host)
        return [(failing, "migration", host + 1), (stuck, "stuck", host + 1)]

    def spent(self, new: list[int]) -> list[int]:
        """Use up one fault; with the last one, what only faults could show is forgotten."""
        new[at.BUDGET] -= 1
        new[at.MOVES] = 0
        if not new[at.BUDGET]:
            for p in self._places:
                new[p + at.BEFORE] = 0
        return new

    def _switch_over(self, new: list[int], host: int) -> None:
        """Let a migration end: the lease is handed over, and the VM runs at its new place."""
        p = self._places[host]
        vm = new[p + at.VM]
        target = vm >> at.TARGET
        q = self._places[target - 1]
        answers = new[q + at.FLAGS] & (at.POWER | at.SILENT) == at.POWER and not new[q + at.VM]
        if not answers or new[p + at.LAPSE] or new[q + at.LAPSE]:
            self._move_fails(new, host)
            return
        new[at.OWNER] = target
        new[q + at.VM] = at.RUNNING | vm & (at.BOOTED | at.SICK)
        new[p + at.VM] = 0
        if new[p + at.FLAGS] & at.AGENT:
            new[p + at.RESULT] = MIGRATION_DONE

    # What is true, whatever hosts believe.

    def broken_by(self, state: State) -> list[tuple[Property, str]]:
        """Judge a state: how many engines execute, and whether each has its lease."""
        end = self._relations
        key = (
            state[at.OWNER],
            *state[at.HEAD + at.VM : end : at.WIDTH],
            *state[at.HEAD + at.LAPSE : end : at.WIDTH],
        )
        broken = self._broken.get(key)
        if broken is None:
            broken = self._broken[key] = self._judge(state)
        return broken

    def _judge(self, state: State) -> list[tuple[Property, str]]:
        found: list[tuple[Property, str]] = []
        executing: list[int] = []
        for host, p in enumerate(self._places):
            vm = state[p + at.VM]
            if not vm:
                continue
            if vm & at.PHASE != at.STARTING and not vm & at.PAUSED:
                executing.append(host + 1)
            owner = state[at.OWNER]
            if owner != host + 1:
                holder = f"held by host {owner}" if owner else "free"
                found.append(
                    (Property.LEASE, f"a VM is on host {host + 1} while its lease is {holder}")
                )
            elif state[p + at.LAPSE] > self.expiry:
                text = f"a VM is on host {host + 1} after its lease has run out"
                found.append((Property.LEASE, text))
        if len(executing) > 1:
            names = " and ".join(map(str, executing))
            found.append((Property.TWO_ENGINES, f"engines execute on hosts {names}"))
        return found

    def is_good(self, state: State) -> bool:
        """Whether an engine executes whose health page is good."""
        return any(at.is_good(state[p + at.VM]) for p in self._places)

    def is_able(self, state: State) -> bool:
        """
        Whether the hosts can be asked for an engine: one could run it, and nobody prevents that.

        A VM that is ill where no agent looks after it, or where its hypervisor does not answer, is
        nobody's to end: it has the lease. A host whose release is older than another's leaves it
        to that one.
        """
        if state[at.GLOBAL]:
            return False
        wanted = at.POWER | at.AGENT
        unwanted = at.CUT | at.MAINTENANCE | at.SILENT
        newer = max(state[p + at.FLAGS] & at.NEWER for p in self._places)
        able = False
        for p in self._places:
            flags, vm = state[p + at.FLAGS], state[p + at.VM]
            is_kept = vm & (at.SICK | at.PAUSED | at.STUCK) or vm & at.PHASE == at.STOPPING
            if is_kept and flags & (wanted | at.SILENT) != wanted and not flags & at.CUT:
                return False
            if flags & (wanted | unwanted) == wanted and flags & at.NEWER == newer:
                able = True
        return able

    def start_while_blocked(self, state: State, host: int) -> bool:
        """Whether more starts have failed here than a host may forget."""
        failed = state[self._places[host] + at.FAILED]
        return failed >> _COUNT_AT >= self.steps.policy.failed_starts_max

    def flags(self, state: State, host: int) -> int:
        """Give the flags of a host."""
        return state[self._places[host] + at.FLAGS]

    def memory(self, state: State, host: int) -> Memory:
        """Give what a host's agent remembers."""
        return self.steps.memory(state[self._places[host] + at.MEMORY])
