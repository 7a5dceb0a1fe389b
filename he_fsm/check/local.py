"""
One host's part of a run: what it publishes and what it decides, each different input once.

Publishing and deciding are those of the daemon (`he_fsm.tick`), and records go through the codec.
Both are pure, so an input that was met before need not be judged again: a state of the cluster is
made of numbers that stand for memories, records and what a loop has found (`Numbers`), and most of
exploring is looking up.
"""

from __future__ import annotations

import hashlib
import operator
from typing import Any, NamedTuple, Optional

import attrs

from he_fsm import tick
from he_fsm.check.judge import breaches_of, word_of
from he_fsm.check.memories import EARLIER, LATER, SEEN, Normal, labelled, now_of
from he_fsm.check.properties import Property
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
from he_fsm.snapshot import (
    Health,
    LeaseView,
    LocalVm,
    Outcome,
    OwnerState,
    Readings,
    Result,
    VmState,
)

# How a slot stands to what its reader saw last: nothing new, grown, begun anew at a boot, or shown
# as it was before (of which a write makes what it was).
SAME, GROWN, REBOOTED, STALE, STALE_BOOT = range(5)
_LABEL = {SAME: SEEN, GROWN: LATER, REBOOTED: EARLIER, STALE: EARLIER, STALE_BOOT: EARLIER}
# Results that wait for an agent, by number; 0: none.
REFUSED, START_FAILED, MIGRATION_FAILED, MIGRATION_DONE = range(1, 5)
_RESULTS: dict[int, tuple[Result, ...]] = {
    0: (),
    REFUSED: (Result(Outcome.START_REFUSED, "the lease is held"),),
    START_FAILED: (Result(Outcome.START_FAILED, "the VM did not come up"),),
    MIGRATION_FAILED: (Result(Outcome.MIGRATION_FAILED, "it failed"),),
    MIGRATION_DONE: (Result(Outcome.MIGRATION_DONE, "it runs there"),),
}
_WALL_OFFSETS_S = (0.0, 3600.0)


class Lease(NamedTuple):
    """What one host's lease manager shows, in numbers; `left`: loops until it can be taken."""

    joined: bool
    owner: int
    fails: bool
    left: int
    dead: tuple[int, ...]


class Found(NamedTuple):
    """What a loop found before it wrote: the facts of `tick.Facts`, and the record it wrote."""

    vm: str
    health: str
    maintenance: bool
    results: int
    own: int


class Orders(NamedTuple):
    """Effects that were decided and are not yet carried out: the words of `ORDERS`."""

    effects: tuple[str, ...]


class Given(NamedTuple):
    """
    What a decision is made from.

    `found`: number of what the loop found. `lease` None: the lease manager does not answer.
    `slots`: the record's number in each slot from 1 on; None: the storage does not answer.
    `relations`: how each slot stands to what this host saw last. `newer`: the host runs the next
    release.
    """

    host_id: int
    memory: int
    found: int
    lease: Optional[Lease]
    slots: Optional[tuple[int, ...]]
    relations: tuple[int, ...]
    in_global: bool
    newer: bool


class Decision(NamedTuple):
    """What came of one step: the new memory, orders, and what is wrong with it."""

    memory: int
    orders: int
    has_edge: bool
    breaches: tuple[tuple[Property, str], ...]
    # What the properties compare: placement, what was believed of whom, who is dead.
    placement: Any
    views: tuple[Any, ...]
    dead: tuple[int, ...]
    counted: bool


def number_of(thing: object) -> int:
    """
    Give a number for a value, the same in every process: 62 bits of a digest of its `repr`.

    Two of a million values share one with a probability of 1 to 10 million.
    """
    digest = hashlib.blake2b(repr(thing).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2 or 1


_PLAIN_PARTS = operator.attrgetter(
    *(field.name for field in attrs.fields(Memory) if field.name != "sightings")
)


def _parts_of(memory: Memory) -> tuple[Any, ...]:
    """Give what a memory is made of, to look it up by: its mapping has no hash."""
    return _PLAIN_PARTS(memory), tuple(memory.sightings.items())


class Numbers:
    """What the numbers in a state stand for, and what was added since it was last asked."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self.known: dict[int, Any] = {}
        self.news: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def of(self, thing: Any) -> int:
        """Give the number of a value, and remember it."""
        key = _parts_of(thing) if isinstance(thing, Memory) else thing
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = number_of(thing)
            if number not in self.known:
                self.known[number] = thing
                self.news.append(thing)
        return number

    def learn(self, things: list[Any]) -> None:
        """Remember what another process met."""
        for thing in things:
            self.known.setdefault(number_of(thing), thing)


class LocalSteps:
    """Publishing and deciding under one policy, each input once."""

    def __init__(self, policy: Policy, hosts: int) -> None:
        """Begin with nothing judged."""
        self.policy = policy
        self.normal = Normal(policy)
        self.numbers = Numbers()
        self.edges: set[tuple[str, str]] = set()
        self._hosts = hosts
        self._decided: dict[Given, Decision] = {}
        # Whether `decided_here` will be asked.
        self.tells = False
        self._news: list[tuple[Given, Decision]] = []
        self._aged: dict[tuple[int, int], int] = {}
        self._read: dict[tuple[int, int, int], Optional[SlotContent]] = {}
        self._leases: dict[tuple[int, Lease], LeaseView] = {}
        self._published: dict[tuple[Any, ...], int] = {}
        self._own: dict[tuple[int, int], HostRecord] = {}
        self._readings = {flag: Readings.of(gateway=float(flag)) for flag in (False, True)}
        self._globals = {flag: decode_global(encode_global(flag)) for flag in (False, True)}

    def memory(self, number: int) -> Memory:
        """Give the memory that a number stands for."""
        found: Memory = self.numbers.known[number]
        return found

    def keep(self, memory: Memory, host_id: int) -> int:
        """Give the number of a memory's normal form."""
        return self.numbers.of(self.normal.of(memory, host_id))

    def aged(self, number: int, host_id: int) -> int:
        """Give a memory one loop later."""
        key = number, host_id
        found = self._aged.get(key)
        if found is None:
            older = self.normal.aged(self.memory(number), host_id)
            found = self._aged[key] = self.numbers.of(older)
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
    ) -> int:
        """Let a loop begin: give the number of what it found, with its record if it may write."""
        own = 0
        if writes:
            facts = self._facts(host_id, vm, results, maintenance, gateway=gateway)
            own = self._publish(self.identity(host_id, newer=newer), self.memory(memory), facts)
        return self.numbers.of(Found(vm.state.value, vm.health.value, maintenance, results, own))

    def _facts(  # noqa: PLR0913 - what a loop finds
        self,
        host_id: int,
        vm: LocalVm,
        results: int,
        maintenance: bool,
        *,
        gateway: bool = True,
        leases: Optional[LeaseView] = None,
    ) -> tick.Facts:
        return tick.Facts(
            now=now_of(host_id),
            wall_offset_s=_WALL_OFFSETS_S[0],
            readings=self._readings[gateway],
            vm=vm,
            leases=leases,
            local_maintenance=maintenance,
            results=_RESULTS[results],
        )

    def identity(self, host_id: int, *, newer: bool) -> tick.Identity:
        """Give who a host is, and which release runs there."""
        version = PARSE_VERSION + newer
        return tick.Identity(host_id=host_id, hostname=f"host{host_id}", version=version)

    def _publish(self, identity: tick.Identity, memory: Memory, facts: tick.Facts) -> int:
        """Make the slot's bytes, and give what readers make of them, whatever the wall clock."""
        version = identity.version
        score = tick.rate_host(memory, facts, identity, self.policy)
        claims = memory.claimed_at is not None
        record = tick.make_record(facts, identity, score.total, claims_lease=claims)
        # Nothing else goes into a block: of the memory its text says the state alone.
        key = record, memory.state, facts.readings, score.why
        number = self._published.get(key)
        if number is not None:
            return number
        for offset_s in _WALL_OFFSETS_S:
            jumped = attrs.evolve(facts, wall_offset_s=offset_s)
            block = tick.make_block(record, memory, jumped, score.why, version)
            read = self._decoded(identity.host_id, block, version)
            if read != record:
                msg = f"the codec makes of {record!r} {read!r}"
                raise ValueError(msg)
        number = self.numbers.of(attrs.evolve(record, timestamp=SEEN))
        self._published[key] = number
        return number

    def _decoded(self, host_id: int, block: bytes, version: int) -> Optional[SlotContent]:
        return decode_slot(host_id, block, version=version, score_max=self.policy.score_max)

    def stopped(self, record: int) -> int:
        """Give the last record of an agent that stops cleanly."""
        host: HostRecord = self.numbers.known[record]
        return self.numbers.of(attrs.evolve(host, score=0, stopped=True))

    def _slot(self, record: int, relation: int, version: int) -> Optional[SlotContent]:
        """Read a slot: its bytes are made and decoded with a timestamp that stands so."""
        key = record, relation, version
        if key not in self._read:
            host: HostRecord = self.numbers.known[record]
            host = attrs.evolve(host, timestamp=_LABEL[relation])
            block = encode_slot(host, version=host.parse_version)
            self._read[key] = self._decoded(host.host_id, block, version)
        return self._read[key]

    def _lease_view(self, host_id: int, lease: Lease) -> LeaseView:
        key = host_id, lease
        view = self._leases.get(key)
        if view is None:
            state = OwnerState.FREE
            if lease.owner:
                state = OwnerState.FAILING if lease.fails else OwnerState.LIVE
            left_s = lease.left * self.policy.loop_s
            view = self._leases[key] = LeaseView(
                owner=lease.owner or None,
                owner_state=state,
                free_at=now_of(host_id) + left_s if lease.fails else None,
                dead_hosts=frozenset(lease.dead),
                joined=lease.joined,
            )
        return view

    def decide(self, given: Given) -> Decision:
        """Let a loop read, and decide."""
        decision = self._decided.get(given)
        if decision is None:
            decision = self._decided[given] = self._decide(given)
            if self.tells:
                self._news.append((given, decision))
        return decision

    def decided_here(self) -> list[tuple[Given, Decision]]:
        """Give what was decided here since this was last asked."""
        news, self._news = self._news, []
        return news

    def learn(self, decided: list[tuple[Given, Decision]]) -> None:
        """Remember what another process has decided."""
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
        )
        board = self._whiteboard(identity, before, own, given)
        step = tick.decide(before, facts, own, board, identity, self.policy)
        if step.edge is not None:
            self.edges.add((step.edge.source.value, step.edge.name))
        words = tuple(word for effect in step.effects if (word := word_of(effect)))
        after = self.keep(step.memory, host_id)
        return Decision(
            memory=after,
            orders=self.numbers.of(Orders(words)) if words else 0,
            has_edge=step.edge is not None,
            breaches=tuple(breaches_of(before, facts, own, step, self.policy)),
            placement=(step.placement.engine_on, step.placement.hosts),
            views=self._views(host_id, self.memory(after), what.own),
            dead=() if lease is None else lease.dead,
            counted=step.edge is not None and step.edge.counts_failed_start,
        )

    def _own_record(self, host_id: int, number: int) -> HostRecord:
        """Give a host's own record, as it has just been written."""
        key = host_id, number
        own = self._own.get(key)
        if own is None:
            record: HostRecord = self.numbers.known[number]
            own = self._own[key] = attrs.evolve(record, timestamp=int(now_of(host_id)))
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
        """Give what this host goes by for each host: what it believes, and since when it grows."""
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
