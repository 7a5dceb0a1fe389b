"""Faults and repairs: their kinds, when each may strike, and what it does to a state."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Callable, Final

from he_fsm.check import layout as at
from he_fsm.check.cluster import Cluster
from he_fsm.check.layout import State, place, relation_at
from he_fsm.check.local import REBOOTED, STALE, STALE_BOOT
from he_fsm.check.suspension import go_on, suspend

# Faults of one host that no other host can notice before the next loops.
ON_HOST: Final = (
    *("crash", "agent", "cut", "gateway", "maintenance", "clock"),
    *("hypervisor", "hang", "pause", "outside", "upgrade"),
    *("stop", "mute", "deaf", "id", "sanlock", "arrival", "late", "suspend", "leave"),
)
# Those of them whose effect differs if they strike between a host's write and its read.
BETWEEN: Final = ("crash", "agent", "cut", "id", "sanlock")
# Faults that other hosts' readings show at once, so that some may have read before, some not.
SEEN_AT_ONCE: Final = ("vm", "global", "stale")

# Faults at the moment at which a start, a shutdown or a migration would end.
AT_THE_END: Final = ("start", "shutdown", "migration", "stuck")
KINDS: Final = frozenset((*ON_HOST, *SEEN_AT_ONCE, *AT_THE_END))
# They need a live migration.
OF_MIGRATIONS: Final = frozenset(("migration", "stuck", "outside", "arrival"))
# The faults that every cluster meets. With three hosts or more, the others, which are needed to
# reach the rest of the edges, are explored only on request: they take too long.
USUAL: Final = KINDS - {
    *("hypervisor", "hang", "pause", "outside", "upgrade", "shutdown", "stuck"),
    *("stop", "mute", "deaf", "id", "sanlock", "arrival", "late", "suspend", "leave"),
}
# The only faults that can strike a suspended host; its slot can still be shown as it was.
_ASLEEP: Final = ("crash", "stale")

WORDS: Final = {
    "crash": "loses power",
    "agent": "loses its agent",
    "cut": "loses its storage",
    "gateway": "loses its gateway",
    "maintenance": "goes into maintenance",
    "clock": "has its wall clock set an hour ahead",
    "vm": "loses the engine VM",
    "global": "global maintenance is set",
    "stale": "has its slot shown as it was before",
    "start": "fails to start the VM",
    "migration": "fails to migrate the VM",
    "stuck": "begins to migrate the VM, which does not end",
    "shutdown": "has a guest that does not shut down",
    "hypervisor": "can't ask its hypervisor any more",
    "hang": "has an engine that hangs",
    "pause": "has its VM paused by an I/O error",
    "outside": "has its VM migrated by somebody outside",
    "upgrade": "is upgraded to the next release",
    "stop": "has its agent stopped",
    "mute": "can read the whiteboard, and not write its slot any more",
    "deaf": "can write its slot, and not read the whiteboard any more",
    "id": "loses its host id",
    "sanlock": "loses its lease manager",
    "arrival": "loses power while its VM migrates to the next host, which goes on waiting",
    "late": "has a lease manager that saw the others renew a loop after everybody else",
    "suspend": "is suspended",
    "leave": "is shut down in order",
    "boot": "gets its power back",
    "agent again": "has its agent started again",
    "restore": "has its storage back",
    "gateway again": "has its gateway back",
    "no maintenance": "leaves maintenance",
    "none": "global maintenance ends",
    "hypervisor again": "can ask its hypervisor again",
    "writes again": "can write its slot again",
    "reads again": "can read the whiteboard again",
    "id again": "takes its host id again",
    "sanlock again": "has its lease manager started again",
    "in time again": "has a lease manager that sees renewals in time again",
    "awake again": "goes on after it was suspended",
    "stays": "is not shut down after all",
    "heal": "has an engine that works again",
    "resume": "has its VM run again",
}


class Faults:
    """The faults and repairs that may happen to a cluster."""

    def __init__(self, cluster: Cluster, kinds: Collection[str] = KINDS) -> None:
        """Take the cluster, and the kinds of faults that may strike it."""
        self._cluster = cluster
        self._kinds = kinds
        self._on_host: dict[str, Callable[[list[int], int], bool]] = {
            "crash": self._crash,
            "agent": self._agent_dies,
            "cut": self._cut,
            "gateway": lambda new, host: _set(new, host, at.NO_GATEWAY),
            "maintenance": lambda new, host: _set(new, host, at.MAINTENANCE),
            "clock": lambda new, host: bool(new[place(host) + at.FLAGS] & at.POWER),
            "vm": self._vm_dies,
            "stale": self._stale,
            "hypervisor": lambda new, host: _set(new, host, at.SILENT),
            "hang": lambda new, host: _mark(new, host, at.SICK),
            "pause": self._pause,
            "outside": self._moved_by_others,
            "upgrade": self._upgrade,
            "stop": self._agent_stops,
            "mute": lambda new, host: _set(new, host, at.MUTE),
            "deaf": lambda new, host: _set(new, host, at.DEAF),
            "late": lambda new, host: _set(new, host, at.LATE),
            "id": self._id_is_lost,
            "sanlock": self._sanlock_dies,
            "arrival": self._source_falls_silent,
            "suspend": suspend,
            "leave": self._cluster.begin_shutdown,
        }

    def before_a_round(self, state: State) -> Iterator[tuple[State, str, int]]:
        """
        Yield what may happen before the loops of a round begin: any fault, any repair.

        A fault that nobody can notice before the next round is explored only there: it is
        equivalent to the same fault at any time since the last loop that could have noticed it.
        """
        yield from self._repairs(state)
        if not state[at.BUDGET]:
            return
        for kind in (*ON_HOST, "vm"):
            yield from self._strike(state, kind)
        yield from self._set_global(state)

    def between_write_and_read(self, state: State) -> Iterator[tuple[State, str, int]]:
        """Yield the faults whose effect differs while records are written and not read yet."""
        if state[at.BUDGET]:
            for kind in (*BETWEEN, "vm", "stale"):
                yield from self._strike(state, kind)
            yield from self._set_global(state)

    def while_some_have_read(self, state: State) -> Iterator[tuple[State, str, int]]:
        """Yield the faults whose effect differs while some hosts have read and others have not."""
        if state[at.BUDGET]:
            yield from self._strike(state, "vm")
            yield from self._set_global(state)

    def _strike(self, state: State, kind: str) -> Iterator[tuple[State, str, int]]:
        act = self._on_host[kind]
        if kind not in self._kinds:
            return
        for host in range(self._cluster.hosts):
            if state[place(host) + at.FLAGS] & at.ASLEEP and kind not in _ASLEEP:
                continue
            new = list(state)
            if act(new, host):
                yield tuple(self._cluster.spent(new)), kind, host + 1

    def _set_global(self, state: State) -> Iterator[tuple[State, str, int]]:
        if "global" in self._kinds and not state[at.GLOBAL]:
            new = list(state)
            new[at.GLOBAL] = 1
            yield tuple(self._cluster.spent(new)), "global", 0

    def _crash(self, new: list[int], host: int) -> bool:
        p = place(host)
        if not new[p + at.FLAGS] & at.POWER:
            return False
        self._cluster.lose_power(new, host)
        return True

    def _pause(self, new: list[int], host: int) -> bool:
        """Pause a VM; its lease is released too, if pausing does that and the host can tell."""
        if not _mark(new, host, at.PAUSED):
            return False
        is_told = new[at.OWNER] == host + 1 and not new[place(host) + at.LAPSE]
        if is_told and not self._cluster.pause_keeps_lease:
            new[at.OWNER] = 0
        return True

    def _source_falls_silent(self, new: list[int], host: int) -> bool:
        """
        Power a host off while its VM migrates; the target can't know that at once.

        A VM that only runs is migrated to the next host at that moment, by an administrator.
        """
        vm = new[place(host) + at.VM]
        phase, target_id = vm & at.PHASE, vm >> at.TARGET
        if phase == at.RUNNING:
            target_id = (host + 1) % self._cluster.hosts + 1
        elif phase != at.LEAVING:
            return False
        target = place(target_id - 1)
        is_there = new[target + at.FLAGS] & _RUNS == at.POWER and not new[target + at.VM]
        if target_id == host + 1 or not is_there:
            return False
        self._cluster.lose_power(new, host)
        new[target + at.FLAGS] |= at.WAITS_FOR_VM
        return True

    def _id_is_lost(self, new: list[int], host: int) -> bool:
        p = place(host)
        if new[p + at.FLAGS] & (at.POWER | at.NOT_RENEWING) != at.POWER:
            return False
        new[p + at.FLAGS] |= at.NO_ID
        new[p + at.LAPSE] = new[p + at.LAPSE] or 1
        return True

    def _sanlock_dies(self, new: list[int], host: int) -> bool:
        """End the lease manager: the agent ends the VM, and the watchdog will reset the host."""
        p = place(host)
        if new[p + at.FLAGS] & (at.POWER | at.NO_SANLOCK) != at.POWER:
            return False
        lapse = new[p + at.LAPSE] = new[p + at.LAPSE] or 1
        new[p + at.FLAGS] |= at.NO_SANLOCK
        kill = self._cluster.times.kills[host]
        if lapse <= kill and not new[p + at.FLAGS] & at.IS_DOOMED:
            new[p + at.FLAGS] += (kill + 1 - lapse) * at.A_LOOP_OF_DOOM
        self._guard(new, host)
        return True

    def _guard(self, new: list[int], host: int) -> None:
        """End the VM if the lease manager is gone and an agent runs, which guards the VM."""
        p = place(host)
        flags = new[p + at.FLAGS]
        if flags & at.AGENT and flags & at.NO_SANLOCK and new[p + at.VM]:
            self._cluster.end_vm(new, host)

    def _agent_stops(self, new: list[int], host: int) -> bool:
        p = place(host)
        if not new[p + at.FLAGS] & at.AGENT or not new[p + at.SLOT]:
            return False
        self._cluster.stop_agent(new, host)
        self._cluster.go_down_without_agent(new, host)
        return True

    def _agent_dies(self, new: list[int], host: int) -> bool:
        p = place(host)
        if not new[p + at.FLAGS] & at.AGENT:
            return False
        self._cluster.forget_agent(new, host)
        new[p + at.LOOP] = at.NO_AGENT
        self._cluster.go_down_without_agent(new, host)
        return True

    def _moved_by_others(self, new: list[int], host: int) -> bool:
        """Migrate the VM to the next host, as an administrator may."""
        target = (host + 1) % self._cluster.hosts
        is_here = target != host and new[place(host) + at.FLAGS] & at.POWER
        return bool(is_here) and self._cluster.begin_move(new, host, target + 1)

    def _upgrade(self, new: list[int], host: int) -> bool:
        p = place(host)
        flags = new[p + at.FLAGS]
        # Nobody upgrades a host that shuts down.
        if flags & (at.NEWER | at.IS_LEAVING) or not flags & at.AGENT:
            return False
        self._cluster.forget_agent(new, host)
        self._begins(new, host)
        new[p + at.FLAGS] |= at.NEWER
        return True

    def _begins(self, new: list[int], host: int) -> None:
        """Start an agent."""
        p = place(host)
        self._cluster.forget_agent(new, host)
        new[p + at.FLAGS] |= at.AGENT
        new[p + at.LOOP] = at.TO_BEGIN
        self._guard(new, host)

    def _cut(self, new: list[int], host: int) -> bool:
        p = place(host)
        if new[p + at.FLAGS] & (at.POWER | at.CUT) != at.POWER:
            return False
        new[p + at.FLAGS] |= at.CUT
        new[p + at.LAPSE] = 1
        return True

    def _vm_dies(self, new: list[int], host: int) -> bool:
        if not new[place(host) + at.VM]:
            return False
        self._cluster.end_vm(new, host)
        return True

    def _stale(self, new: list[int], host: int) -> bool:
        p = place(host)
        older = new[p + at.BEFORE]
        if not older:
            return False
        new[p + at.SLOT] = older
        hosts = self._cluster.hosts
        for reader in range(hosts):
            if reader != host:
                r = relation_at(hosts, reader, host)
                new[r] = STALE_BOOT if new[r] in (REBOOTED, STALE_BOOT) else STALE
        return True

    def _repairs(self, state: State) -> Iterator[tuple[State, str, int]]:
        """Yield each single repair; no repair is ever required to happen."""
        for host in range(self._cluster.hosts):
            flags = state[place(host) + at.FLAGS]
            if not flags & at.POWER:
                yield self._repaired(state, "boot", host)
                continue
            if flags & at.ASLEEP:
                yield self._repaired(state, "awake again", host)
                continue
            if not flags & at.AGENT:
                yield self._repaired(state, "agent again", host)
            for flag, kind in _REPAIRS.items():
                # Only an agent joins the lockspace again.
                if flags & flag and (flag != at.NO_SANLOCK or flags & at.AGENT):
                    yield self._repaired(state, kind, host)
            vm = state[place(host) + at.VM]
            for flag, kind in _HEALS.items():
                if vm & flag and (flag != at.PAUSED or self._may_run(state, host)):
                    yield self._repaired(state, kind, host)
        if state[at.GLOBAL]:
            new = list(state)
            new[at.GLOBAL] = new[at.DONE] = 0
            yield tuple(new), "none", 0

    def _may_run(self, state: State, host: int) -> bool:
        """Return whether a paused VM has its lease, or acquires it again as if it had kept it."""
        if state[at.OWNER] == host + 1 or self._cluster.pause_keeps_lease:
            return True
        is_outrun = state[place(host) + at.VM] & at.OUTRUN
        return not is_outrun and self._cluster.can_take(state, host)

    def _repaired(self, state: State, kind: str, host: int) -> tuple[State, str, int]:
        new = list(state)
        new[at.DONE] = 0
        p = place(host)
        if kind == "boot":
            new[p + at.FLAGS] |= at.POWER | at.AGENT | at.FRESH
            new[p + at.LOOP] = at.TO_BEGIN
            steps = self._cluster.steps
            new[p + at.MEMORY] = steps.begun_anew(new[p + at.MEMORY], host + 1, has_booted=True)
        elif kind == "awake again":
            go_on(new, host)
        elif kind == "agent again":
            self._begins(new, host)
        elif kind in _FLAG_OF:
            new[p + at.FLAGS] &= ~_FLAG_OF[kind]
        else:
            new[p + at.VM] &= ~_HEALED_BY[kind]
            if kind == "resume" and not self._cluster.pause_keeps_lease:
                new[at.OWNER] = host + 1
        if kind in _JOINING and not new[p + at.FLAGS] & at.NOT_RENEWING:
            self._joins(new, host)
        return tuple(new), kind, host + 1

    def _joins(self, new: list[int], host: int) -> None:
        """Renew again, or acquire the host id again; release a lease without a VM here."""
        p = place(host)
        new[p + at.LAPSE] = 0
        if new[at.OWNER] == host + 1 and not new[p + at.VM]:
            new[at.OWNER] = 0


_RUNS = at.POWER | at.ASLEEP
_REPAIRS = {
    at.MUTE: "writes again",
    at.DEAF: "reads again",
    at.NO_ID: "id again",
    at.NO_SANLOCK: "sanlock again",
    at.LATE: "in time again",
    at.CUT: "restore",
    at.NO_GATEWAY: "gateway again",
    at.MAINTENANCE: "no maintenance",
    at.SILENT: "hypervisor again",
    at.IS_LEAVING: "stays",
}
_FLAG_OF = {kind: flag for flag, kind in _REPAIRS.items()}
# Repairs after which a host renews its leases again.
_JOINING = {"boot", "agent again", "restore", "id again", "sanlock again"}
_HEALS = {at.SICK: "heal", at.PAUSED: "resume"}
_HEALED_BY = {kind: flag for flag, kind in _HEALS.items()}


def _mark(new: list[int], host: int, flag: int) -> bool:
    """Set a flag of a VM that has begun to run; return False if there is none without it."""
    p = place(host)
    vm = new[p + at.VM]
    if vm & at.PHASE in (at.NONE, at.STARTING) or vm & flag:
        return False
    new[p + at.VM] = vm | flag
    return True


def _set(new: list[int], host: int, flag: int) -> bool:
    p = place(host)
    if new[p + at.FLAGS] & flag or not new[p + at.FLAGS] & at.POWER:
        return False
    new[p + at.FLAGS] |= flag
    return True
