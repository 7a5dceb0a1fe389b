"""
One host's part of a run: what it publishes and what it decides, computed once for each input.

Publishing and deciding are the daemon's own (`he_fsm.tick`), and records go through the codec. Both
are pure, so their results are cached. A state of the cluster consists of numbers that stand for
memories, records and what a loop has found (`Numbers`), and most of exploring is looking up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

from he_fsm import tick
from he_fsm.check.judge import breaches_of, word_of
from he_fsm.check.leases import Lease, view_of, view_of_writer
from he_fsm.check.memories import EARLIER, LATER, SEEN, Normal, labelled, now_of
from he_fsm.check.numbers import Numbers
from he_fsm.check.properties import Property
from he_fsm.check.scale import LOOP_S
from he_fsm.memory import Memory
from he_fsm.metadata.codec import (
    SlotContent,
    decode_global,
    decode_slot,
    encode_global,
    encode_slot,
)
from he_fsm.metadata.layout import PARSE_VERSION
from he_fsm.metadata.record import HostRecord
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.policy import Policy
from he_fsm.remembered import VmWatch
from he_fsm.snapshot import (
    Health,
    LeaseView,
    LocalVm,
    Outcome,
    Readings,
    Result,
    VmState,
)

# How a slot differs from what its reader read last: unchanged, grown, restarted by a boot, or an
# old block (STALE hides a grown slot, STALE_BOOT a restarted one; the next write shows it again).
SAME, GROWN, REBOOTED, STALE, STALE_BOOT = range(5)
_LABEL = {SAME: SEEN, GROWN: LATER, REBOOTED: EARLIER, STALE: EARLIER, STALE_BOOT: EARLIER}
# Results that the agent has not read yet, by number; 0: none.
REFUSED, START_FAILED, MIGRATION_FAILED, MIGRATION_DONE = range(1, 5)
_RESULTS: dict[int, tuple[Result, ...]] = {
    0: (),
    REFUSED: (Result(Outcome.START_REFUSED, "the lease is held"),),
    START_FAILED: (Result(Outcome.START_FAILED, "the VM did not come up"),),
    MIGRATION_FAILED: (Result(Outcome.MIGRATION_FAILED, "it failed"),),
    MIGRATION_DONE: (Result(Outcome.MIGRATION_DONE, "it runs there"),),
}
_WALL_OFFSETS_S = (0.0, 3600.0)


class Found(NamedTuple):
    """
    What a loop found: the facts of `tick.Facts`, and the number of the record that it wrote.

    `leaves`: in how many loops the host goes down in order; 0: it does not.
    """

    vm: str
    health: str
    maintenance: bool
    results: int
    own: int
    leaves: int = 0


class Orders(NamedTuple):
    """Effects that are decided but not carried out yet, as words (`judge.word_of`)."""

    effects: tuple[str, ...]


class Given(NamedTuple):
    """
    The input of a decision.

    `found`: the number of what the loop found. `lease` None: the lease manager does not answer.
    `slots`: the record's number in each slot from 1 on; None: the storage does not answer.
    `relations`: how each slot differs from what this host read last. `newer`: the host runs the
    next release. `slept`: for how many loops it was suspended since its last pass.
    """

    host_id: int
    memory: int
    found: int
    lease: Optional[Lease]
    slots: Optional[tuple[int, ...]]
    relations: tuple[int, ...]
    in_global: bool
    newer: bool
    slept: int = 0


class Decision(NamedTuple):
    """The result of one step: the new memory, the orders, and the properties that it breaks."""

    memory: int
    orders: int
    # The host makes another pass at once: after an edge, or to announce itself for the lease.
    looks_again: bool
    breaches: tuple[tuple[Property, str], ...]
    # What the properties compare: the placement, what is believed of each host, who is dead.
    placement: Any
    views: tuple[Any, ...]
    dead: tuple[int, ...]
    # The step counts a failed start; the host has read the result of a failed migration.
    counted: bool
    move_failed: bool
    # The hosts that are taken for alive, and those of which that is not known yet.
    alive: frozenset[int]
    pending: frozenset[int]
    # The host's ledger after the reading; it is filled in later (`he_fsm.check.heard`).
    heard: int = 0


class LocalSteps:
    """Publishing and deciding of all hosts, computed once for each input."""

    def __init__(self, policies: Sequence[Policy], *, suspends: bool = False) -> None:
        """
        Begin with empty caches, for hosts with these policies.

        The policies differ in the watchdog's times at most. *suspends*: hosts may be suspended, so
        they have `boot_now`.
        """
        self.policies = policies
        self.policy = policy = policies[0]
        self._suspends = suspends
        self.normal = Normal(policy)
        self.numbers = Numbers()
        self.edges: set[tuple[str, str]] = set()
        self._hosts = len(policies)
        self._decided: dict[Given, Decision] = {}
        # Whether decisions are collected for `decided_here`.
        self.tells = False
        self._news: list[tuple[Given, Decision]] = []
        self._aged: dict[tuple[int, int], int] = {}
        self._begun: dict[tuple[int, int, bool], int] = {}
        self._stopped: dict[int, int] = {}
        self._read: dict[tuple[int, int, int], Optional[SlotContent]] = {}
        self._leases: dict[tuple[int, Lease], LeaseView] = {}
        self._published: dict[tuple[Any, ...], int] = {}
        self._own: dict[tuple[int, int], HostRecord] = {}
        self._readings = {flag: Readings.of(gateway=float(flag)) for flag in (False, True)}
        self._globals = {flag: decode_global(encode_global(flag)) for flag in (False, True)}

    def memory(self, number: int) -> Memory:
        """Return the memory that a number stands for."""
        found: Memory = self.numbers.known[number]
        return found

    def keep(self, memory: Memory, host_id: int) -> int:
        """Return the number of a memory's normal form."""
        return self.numbers.of(self.normal.of(memory, host_id))

    def aged(self, number: int, host_id: int) -> int:
        """Return the number of a memory one loop later."""
        key = number, host_id
        found = self._aged.get(key)
        if found is None:
            older = self.normal.aged(self.memory(number), host_id)
            found = self._aged[key] = self.numbers.of(older)
        return found

    def begun_anew(self, number: int, host_id: int, *, has_booted: bool) -> int:
        """Return the memory of a restarted agent, which knows only what was on disk."""
        key = number, host_id, has_booted
        found = self._begun.get(key)
        if found is None:
            memory, now = self.memory(number), now_of(host_id)
            kept = memory.after_boot(now, now) if has_booted else memory.after_restart(now)
            found = self._begun[key] = self.keep(kept, host_id)
        return found

    def look(  # noqa: PLR0913 - what a loop finds
        self,
        host_id: int,
        memory: int,
        vm: LocalVm,
        results: int,
        *,
        gateway: bool,
        maintenance: bool,
        newer: bool,
        writes: bool,
        doomed: int = 0,
        leaves: int = 0,
    ) -> int:
        """Begin a loop: return the number of what it found, with its record if it may write."""
        own = 0
        if writes:
            leases = view_of_writer(host_id, doomed)
            facts = self._facts(
                *(host_id, vm, results, maintenance), gateway=gateway, leases=leases, leaves=leaves
            )
            own = self._publish(self.identity(host_id, newer=newer), self.memory(memory), facts)
        found = Found(vm.state.value, vm.health.value, maintenance, results, own, leaves)
        return self.numbers.of(found)

    def _facts(  # noqa: PLR0913 - what a loop finds
        self,
        host_id: int,
        vm: LocalVm,
        results: int,
        maintenance: bool,
        *,
        gateway: bool = True,
        leases: Optional[LeaseView] = None,
        slept: int = 0,
        leaves: int = 0,
    ) -> tick.Facts:
        now = now_of(host_id)
        return tick.Facts(
            now=now,
            wall_offset_s=_WALL_OFFSETS_S[0],
            readings=self._readings[gateway],
            vm=vm,
            leases=leases,
            local_maintenance=maintenance,
            results=_RESULTS[results],
            boot_now=now + slept * LOOP_S if self._suspends else None,
            leaves_by=now + leaves * LOOP_S if leaves else None,
        )

    def identity(self, host_id: int, *, newer: bool) -> tick.Identity:
        """Return the identity of a host, with the release that it runs."""
        version = PARSE_VERSION + newer
        return tick.Identity(host_id=host_id, hostname=f"host{host_id}", version=version)

    def _publish(self, identity: tick.Identity, memory: Memory, facts: tick.Facts) -> int:
        """Encode the slot, check that readers decode the same record, and return its number."""
        version = identity.version
        policy = self.policies[identity.host_id - 1]
        score = tick.rate_host(memory, facts, identity, policy)
        claims = memory.claimed_at is not None
        record = tick.make_record(
            *(facts, identity, score.total, policy),
            claims_lease=claims,
            keeps_engine=memory.keeps_engine,
        )
        # A block depends on nothing else: of the memory, its text holds only the state.
        key = record, memory.state, facts.readings, score.why
        number = self._published.get(key)
        if number is not None:
            return number
        for offset_s in _WALL_OFFSETS_S:
            jumped = facts._replace(wall_offset_s=offset_s)
            block = tick.make_block(record, memory, jumped, score.why, version)
            read = self._decoded(identity.host_id, block, version)
            if read != record:
                msg = f"the codec makes of {record!r} {read!r}"
                raise ValueError(msg)
        number = self.numbers.of(record._replace(timestamp=SEEN))
        self._published[key] = number
        return number

    def _decoded(self, host_id: int, block: bytes, version: int) -> Optional[SlotContent]:
        return decode_slot(host_id, block, version=version, score_max=self.policy.score_max)

    def is_new(self, watch: VmWatch, host_id: int) -> bool:
        """Return whether what a host reads of the lease may be older than its VM."""
        return now_of(host_id) < watch.since + self.policy.lease_settle_s

    def stopped(self, record: int) -> int:
        """Return the last record of an agent that stops cleanly."""
        last = self._stopped.get(record)
        if last is None:
            host: HostRecord = self.numbers.known[record]
            changed = host._replace(score=0, stopped=True)
            last = self._stopped[record] = self.numbers.of(changed)
        return last

    def _slot(self, record: int, relation: int, version: int) -> Optional[SlotContent]:
        """Return a slot as read: encoded and decoded, with a timestamp that fits the relation."""
        key = record, relation, version
        if key not in self._read:
            host: HostRecord = self.numbers.known[record]
            host = host._replace(timestamp=_LABEL[relation])
            block = encode_slot(host, version=host.parse_version)
            self._read[key] = self._decoded(host.host_id, block, version)
        return self._read[key]

    def _lease_view(self, host_id: int, lease: Lease) -> LeaseView:
        key = host_id, lease
        view = self._leases.get(key)
        if view is None:
            view = self._leases[key] = view_of(host_id, lease)
        return view

    def decide(self, given: Given) -> Decision:
        """Return the decision for an input."""
        decision = self._decided.get(given)
        if decision is None:
            decision = self._decided[given] = self._decide(given)
            if self.tells:
                self._news.append((given, decision))
        return decision

    def decided_here(self) -> list[tuple[Given, Decision]]:
        """Return the decisions that were made here since the last call."""
        news, self._news = self._news, []
        return news

    def learn(self, decided: list[tuple[Given, Decision]]) -> None:
        """Remember the decisions of another process."""
        self._decided.update(decided)

    def _decide(self, given: Given) -> Decision:
        host_id = given.host_id
        before = self.memory(given.memory)
        what: Found = self.numbers.known[given.found]
        identity = self.identity(host_id, newer=given.newer)
        own: Optional[HostRecord] = None
        if what.own:
            own = self._own_record(host_id, what.own)
        lease = given.lease
        facts = self._facts(
            host_id,
            LocalVm(VmState(what.vm), Health(what.health)),
            what.results,
            what.maintenance,
            leases=None if lease is None else self._lease_view(host_id, lease),
            slept=given.slept,
            leaves=what.leaves,
        )
        board = self._whiteboard(identity, before, own, given)
        step = tick.decide(before, facts, own, board, identity, self.policies[host_id - 1])
        if step.edge is not None:
            self.edges.add((step.edge.source.value, step.edge.name))
        words = tuple(word for effect in step.effects if (word := word_of(effect)))
        after = self.keep(step.memory, host_id)
        return Decision(
            memory=after,
            orders=self.numbers.of(Orders(words)) if words else 0,
            looks_again=step.edge is not None or step.wake_at <= facts.now,
            breaches=tuple(breaches_of(before, facts, own, step)),
            placement=(step.placement.engine_on, step.placement.hosts),
            views=self._views(host_id, self.memory(after), what.own),
            dead=() if lease is None else lease.dead,
            counted=step.edge is not None and step.edge.counts_failed_start,
            move_failed=what.results == MIGRATION_FAILED,
            alive=step.liveness.alive,
            pending=step.liveness.pending,
        )

    def _own_record(self, host_id: int, number: int) -> HostRecord:
        """Return a host's own record, as it has just been written."""
        key = host_id, number
        own = self._own.get(key)
        if own is None:
            record: HostRecord = self.numbers.known[number]
            own = self._own[key] = record._replace(timestamp=int(now_of(host_id)))
        return own

    def _whiteboard(
        self, identity: tick.Identity, memory: Memory, own: Optional[HostRecord], given: Given
    ) -> Optional[Whiteboard]:
        if given.slots is None:
            return None
        read: dict[int, Any] = {}
        for other, (record, relation) in enumerate(zip(given.slots, given.relations), start=1):
            if other == identity.host_id:
                if own is not None:
                    read[other] = own
            elif record:
                seen = memory.sightings.get(other)
                if relation == SAME and seen is not None and seen.content is not None:
                    read[other] = seen.content
                else:
                    read[other] = self._slot(record, relation, identity.version)
        return Whiteboard(self._globals[given.in_global], read)

    def _views(self, host_id: int, memory: Memory, own: int) -> tuple[Any, ...]:
        """Return what this host believes of each host: record, age, and whether it has grown."""
        now = now_of(host_id)
        views: list[Any] = []
        for other in range(1, self._hosts + 1):
            if other == host_id:
                views.append((own, 0.0, True))
                continue
            seen = memory.sightings.get(other)
            if seen is None or seen.record is None:
                views.append(None)
                continue
            record = self.numbers.of(labelled(seen.record, SEEN))
            silent_from = seen.since if seen.grew_at is None else seen.grew_at
            views.append((record, now - silent_from, seen.grew_at is not None))
        return tuple(views)
