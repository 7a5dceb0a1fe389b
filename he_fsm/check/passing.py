"""The passing of time: VMs progress, leases expire, memories age, starts and moves may fail."""

from __future__ import annotations

from collections.abc import Collection

from he_fsm.check import layout as at
from he_fsm.check.cluster import Cluster
from he_fsm.check.heard import READ_NOW
from he_fsm.check.layout import State, place
from he_fsm.check.local import MIGRATION_DONE, START_FAILED
from he_fsm.check.scale import loops

# With two hosts, at most one can acquire a lease that expires, and no announcement is needed.
_HOSTS_THAT_ANNOUNCE = 2


class Passing:
    """The time between two loops, for a cluster and the kinds of faults that may strike it."""

    def __init__(self, cluster: Cluster, kinds: Collection[str]) -> None:
        """Take the cluster."""
        self._cluster = cluster
        self._kinds = kinds
        self._forget = loops(cluster.steps.policy.block_max_s)
        self._places = [place(host) for host in range(cluster.hosts)]

    def ticks(self, state: State) -> list[tuple[State, str, int]]:
        """
        Return the states after the time between two loops: VMs progress, leases expire, and so on.

        The first has no fault. If faults are left, others follow in which a start, a shutdown or a
        migration fails now, each with the fault's name and host.
        """
        new = list(state)
        movers: list[int] = []
        for host, p in enumerate(self._places):
            flags, lapse = new[p + at.FLAGS], new[p + at.LAPSE]
            runs_on = not flags & at.ASLEEP
            if lapse:
                lapse = new[p + at.LAPSE] = min(lapse + 1, self._lapse_max(state))
                if lapse > self._cluster.times.kills[host] and new[p + at.VM] and runs_on:
                    self._cluster.end_vm(new, host)
            if runs_on:
                if flags & (at.IS_DOOMED | at.IS_LEAVING):
                    flags = self._running_out(new, host)
                if flags & at.POWER:
                    new[p + at.MEMORY] = self._cluster.steps.aged(new[p + at.MEMORY], host + 1)
                    new[p + at.LOOP] = at.TO_BEGIN if flags & at.AGENT else at.NO_AGENT
                    new[p + at.HEARD] &= ~READ_NOW
                if new[p + at.VM]:
                    movers.append(host)
            if new[p + at.FAILED]:
                new[p + at.FAILED] = self._failed_later(new[p + at.FAILED], flags)
        outcomes = [(new, "", 0)]
        # Listed before any VM moves: one that arrives now must not progress twice.
        for host in movers:
            outcomes = [after for outcome in outcomes for after in self._vm_gets_on(outcome, host)]
        return [(tuple(after), fault, host) for after, fault, host in outcomes]

    def _lapse_max(self, state: State) -> int:
        """Return how far the loops since a renewal are counted: until all hosts see the expiry."""
        # A host that has announced itself acquires the lease in the first loop in which it can.
        # That loop must be distinguished from later ones.
        is_longer = self._cluster.hosts > _HOSTS_THAT_ANNOUNCE or any(
            state[p + at.FLAGS] & at.LATE for p in self._places
        )
        return self._cluster.times.expiry_max + 1 + is_longer

    def _running_out(self, new: list[int], host: int) -> int:
        """Count down to a doomed host's reset, or to the end of a shutdown; return the flags."""
        p = self._places[host]
        for is_so, a_loop, ends in (
            (at.IS_DOOMED, at.A_LOOP_OF_DOOM, self._cluster.lose_power),
            (at.IS_LEAVING, at.A_LOOP_OF_LEAVING, self._cluster.go_down),
        ):
            if not new[p + at.FLAGS] & is_so:
                continue
            new[p + at.FLAGS] -= a_loop
            if not new[p + at.FLAGS] & is_so:
                ends(new, host)
                # The fault strikes now: orders from here on are counted as reactions to it.
                new[at.DONE] = 0
        return new[p + at.FLAGS]

    def _failed_later(self, failed: int, flags: int) -> int:
        """Return a host's failures one loop later; a back-off runs only while the host does."""
        wait = at.wait_after_move(failed)
        if wait and flags & at.POWER:
            wait -= 1
        count, age = at.failed_starts(failed), at.failed_ago(failed) + 1
        if not count or age >= self._forget:
            return at.failed_of(0, 0, wait)
        return at.failed_of(count, age, wait)

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
            return [outcome]
        outcomes = [outcome]
        if new[at.BUDGET]:
            outcomes += [bad for bad in self._bad_luck(new, host, phase) if bad[1] in self._kinds]
        if phase == at.STARTING:
            new[p + at.VM] = at.RUNNING | at.WAITS
        elif phase == at.STOPPING:
            self._cluster.end_vm(new, host)
        else:
            self._switch_over(new, host)
        return outcomes

    def _bad_luck(self, new: list[int], host: int, phase: int) -> list[tuple[list[int], str, int]]:
        """Return how a start, a shutdown or a migration that would end now may fail instead."""
        p = self._places[host]
        failing = self._cluster.spent(list(new))
        if phase == at.STARTING:
            self._cluster.end_vm(failing, host)
            if failing[p + at.FLAGS] & at.AGENT:
                failing[p + at.RESULT] = START_FAILED
            return [(failing, "start", host + 1)]
        stuck = self._cluster.spent(list(new))
        stuck[p + at.VM] |= at.STUCK
        if phase == at.STOPPING:
            return [(stuck, "shutdown", host + 1)]
        self._cluster.move_fails(failing, host)
        return [(failing, "migration", host + 1), (stuck, "stuck", host + 1)]

    def _switch_over(self, new: list[int], host: int) -> None:
        """End a migration: hand the lease over, and run the VM on the target."""
        p = self._places[host]
        vm = new[p + at.VM]
        target = vm >> at.TARGET
        q = self._places[target - 1]
        wanted, unwanted = at.POWER, at.SILENT | at.WAITS_FOR_VM
        answers = new[q + at.FLAGS] & (wanted | unwanted) == wanted and not new[q + at.VM]
        has_lease = new[at.OWNER] == host + 1 and not new[p + at.LAPSE]
        if not answers or not has_lease or new[q + at.LAPSE]:
            self._cluster.move_fails(new, host)
            return
        new[at.OWNER] = target
        new[q + at.VM] = at.RUNNING | vm & (at.BOOTED | at.SICK)
        new[p + at.VM] = 0
        if new[p + at.FLAGS] & at.AGENT:
            new[p + at.RESULT] = MIGRATION_DONE
