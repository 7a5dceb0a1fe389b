"""Faults and repairs: what may strike, where it matters, and what it does to a state."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Callable, Final

from he_fsm.check import layout as at
from he_fsm.check.cluster import Cluster
from he_fsm.check.layout import State, place, relation_at
from he_fsm.check.local import REBOOTED, STALE, STALE_BOOT
from he_fsm.check.memories import now_of

# Faults of one host that nobody else can notice before the next loops.
ON_HOST: Final = (
    *("crash", "agent", "cut", "gateway", "maintenance", "clock"),
    *("hypervisor", "hang", "pause", "outside", "upgrade"),
)
# Those of them that make a difference between a host's write and its read.
BETWEEN: Final = ("crash", "agent", "cut")
# Faults that another host's reading shows at once: some may have read before, some not.
SEEN_AT_ONCE: Final = ("vm", "global", "stale")

# Bad luck where a start, a shutdown or a migration would end.
AT_THE_END: Final = ("start", "shutdown", "migration", "stuck")
KINDS: Final = frozenset((*ON_HOST, *SEEN_AT_ONCE, *AT_THE_END))
# Those that every cluster meets. The others, which reach the rest of the edges, are left out with
# three hosts or more unless they are asked for: it would take too long.
USUAL: Final = KINDS - {"hypervisor", "hang", "pause", "outside", "upgrade", "shutdown", "stuck"}

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
    "boot": "gets its power back",
    "agent again": "has its agent started again",
    "restore": "has its storage back",
    "gateway again": "has its gateway back",
    "no maintenance": "leaves maintenance",
    "none": "global maintenance ends",
    "hypervisor again": "can ask its hypervisor again",
    "heal": "has an engine that works again",
    "resume": "has its VM run again",
}


class Faults:
    """What may strike a cluster."""

    def __init__(self, cluster: Cluster, kinds: Collection[str] = KINDS) -> None:
        """Take the cluster that is to be struck, and by what."""
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
            "pause": lambda new, host: _mark(new, host, at.PAUSED),
            "outside": self._moved_by_others,
            "upgrade": self._upgrade,
        }

    def before_a_round(self, state: State) -> Iterator[tuple[State, str, int]]:
        """
        Give what may happen before the loops of a round begin: any fault, any repair.

        A fault that nobody can notice before the next round begins is the same there as any
        time since the last loop that could have noticed it.
        """
        yield from self._repairs(state)
        if not state[at.BUDGET]:
            return
        for kind in (*ON_HOST, "vm"):
            yield from self._strike(state, kind)
        yield from self._set_global(state)

    def between_write_and_read(self, state: State) -> Iterator[tuple[State, str, int]]:
        """Give what makes a difference while records are written and not yet read."""
        if state[at.BUDGET]:
            for kind in (*BETWEEN, "vm", "stale"):
                yield from self._strike(state, kind)
            yield from self._set_global(state)

    def while_some_have_read(self, state: State) -> Iterator[tuple[State, str, int]]:
        """Give what makes a difference while some hosts have read and others have not."""
        if state[at.BUDGET]:
            yield from self._strike(state, "vm")
            yield from self._set_global(state)

    def _strike(self, state: State, kind: str) -> Iterator[tuple[State, str, int]]:
        act = self._on_host[kind]
        if kind not in self._kinds:
            return
        for host in range(self._cluster.hosts):
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
        steps = self._cluster.steps
        now = now_of(host + 1)
        new[p + at.MEMORY] = steps.keep(
            steps.memory(new[p + at.MEMORY]).after_boot(now, now), host + 1
        )
        new[p + at.FLAGS] &= ~(at.POWER | at.AGENT)
        new[p + at.LAPSE] = new[p + at.LAPSE] or 1
        new[p + at.VM] = new[p + at.RESULT] = 0
        new[p + at.LOOP] = at.NO_AGENT
        return True

    def _agent_dies(self, new: list[int], host: int) -> bool:
        p = place(host)
        if not new[p + at.FLAGS] & at.AGENT:
            return False
        self._cluster.forget_agent(new, host)
        new[p + at.LOOP] = at.NO_AGENT
        return True

    def _moved_by_others(self, new: list[int], host: int) -> bool:
        """Somebody migrates the VM to the next host."""
        target = (host + 1) % self._cluster.hosts
        is_here = target != host and new[place(host) + at.FLAGS] & at.POWER
        return bool(is_here) and self._cluster.begin_move(new, host, target + 1)

    def _upgrade(self, new: list[int], host: int) -> bool:
        p = place(host)
        flags = new[p + at.FLAGS]
        if flags & at.NEWER or not flags & at.AGENT:
            return False
        self._cluster.forget_agent(new, host)
        self._begins(new, host)
        new[p + at.FLAGS] |= at.NEWER
        return True

    def _begins(self, new: list[int], host: int) -> None:
        """An agent starts."""
        p = place(host)
        self._cluster.forget_agent(new, host)
        new[p + at.FLAGS] |= at.AGENT
        new[p + at.LOOP] = at.TO_BEGIN

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
        """Give each repair of one thing; what is broken may stay so for any time."""
        for host in range(self._cluster.hosts):
            flags = state[place(host) + at.FLAGS]
            if not flags & at.POWER:
                yield self._repaired(state, "boot", host)
                continue
            if not flags & at.AGENT:
                yield self._repaired(state, "agent again", host)
            for flag, kind in _REPAIRS.items():
                if flags & flag:
                    yield self._repaired(state, kind, host)
            vm = state[place(host) + at.VM]
            for flag, kind in _HEALS.items():
                if vm & flag:
                    yield self._repaired(state, kind, host)
        if state[at.GLOBAL]:
            new = list(state)
            new[at.GLOBAL] = new[at.MOVES] = 0
            yield tuple(new), "none", 0

    def _repaired(self, state: State, kind: str, host: int) -> tuple[State, str, int]:
        new = list(state)
        new[at.MOVES] = 0
        p = place(host)
        if kind == "boot":
            new[p + at.FLAGS] |= at.POWER | at.AGENT | at.FRESH
            new[p + at.LOOP] = at.TO_BEGIN
            steps = self._cluster.steps
            now = now_of(host + 1)
            memory = steps.memory(new[p + at.MEMORY]).after_boot(now, now)
            new[p + at.MEMORY] = steps.keep(memory, host + 1)
            if not new[p + at.FLAGS] & at.CUT:
                self._joins(new, host)
        elif kind == "agent again":
            self._begins(new, host)
            if not new[p + at.FLAGS] & at.CUT:
                self._joins(new, host)
        elif kind == "restore":
            new[p + at.FLAGS] &= ~at.CUT
            self._joins(new, host)
        elif kind in _FLAG_OF:
            new[p + at.FLAGS] &= ~_FLAG_OF[kind]
        else:
            new[p + at.VM] &= ~_HEALED_BY[kind]
        return tuple(new), kind, host + 1

    def _joins(self, new: list[int], host: int) -> None:
        """Renew again, or take the host id anew: a lease that no VM of this host needs is free."""
        p = place(host)
        new[p + at.LAPSE] = 0
        if new[at.OWNER] == host + 1 and not new[p + at.VM]:
            new[at.OWNER] = 0


_REPAIRS = {
    at.CUT: "restore",
    at.NO_GATEWAY: "gateway again",
    at.MAINTENANCE: "no maintenance",
    at.SILENT: "hypervisor again",
}
_FLAG_OF = {kind: flag for flag, kind in _REPAIRS.items()}
_HEALS = {at.SICK: "heal", at.PAUSED: "resume"}
_HEALED_BY = {kind: flag for flag, kind in _HEALS.items()}


def _mark(new: list[int], host: int, flag: int) -> bool:
    """Let something befall the VM of a host that has begun to run."""
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
