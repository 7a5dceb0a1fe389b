"""
A dead owner's lease is asked for once, by the host that may have it first.

Each host's sanlock goes by when it saw the owner renew, which it looks for every 2 x io_timeout.
"""

from __future__ import annotations

import heapq

from hypothesis import given
from hypothesis import strategies as st

from he_fsm import (
    TALK,
    HostRecord,
    LeaseView,
    LocalVm,
    Memory,
    Readings,
    State,
    VmState,
    Whiteboard,
)
from he_fsm.effects import StartVm
from he_fsm.metadata.codec import GlobalBlock
from he_fsm.snapshot import OwnerState
from he_fsm.testing.scenes import NOW, record, sighting
from he_fsm.tick import Facts, Identity, decide, make_record, next_look

OWNER = 9
READINGS = Readings.of()
HORIZON_S = 120.0
# sanlock gives the lease in the second after the moment that it has computed.
TAKING_S = 1.0


class Host:
    """A host that watches, and whose record is read *latency_s* after it was written."""

    def __init__(self, host_id: int, others: list[int], free_at: float) -> None:
        """Begin with a host that has been watching for long."""
        self.host_id = host_id
        self.identity = Identity(host_id=host_id, hostname=f"host{host_id}")
        self.free_at = free_at
        self.vm = LocalVm(VmState.ABSENT)
        self.memory = Memory(
            state=State.ENGINE_DOWN,
            sightings={other: sighting(record(other, 2400, timestamp=1)) for other in others},
            read_at=NOW,
            global_maintenance=False,
        )
        self.writes: list[tuple[float, HostRecord]] = []
        self.asked_at: list[float] = []

    def look(self, now: float, hosts: dict[int, Host], latency_s: float) -> float:
        """Make one pass; return the time of the next."""
        leases = LeaseView(owner=OWNER, owner_state=OwnerState.FAILING, free_at=self.free_at)
        for host in hosts.values():
            if host.asked_at and host.asked_at[0] + TAKING_S <= now:
                leases = LeaseView(owner=host.host_id, owner_state=OwnerState.LIVE)
        facts = Facts(now=now, wall_offset_s=0.0, readings=READINGS, vm=self.vm, leases=leases)
        claims = self.memory.claimed_at is not None
        own = make_record(facts, self.identity, 2400, TALK, claims_lease=claims)
        self.writes.append((now, own))
        slots = {self.host_id: own}
        for host_id, host in hosts.items():
            shown = [written for at, written in host.writes if at + latency_s <= now]
            if host is not self and shown:
                slots[host_id] = shown[-1]
        board = Whiteboard(GlobalBlock(maintenance=False), dict(slots))
        decision = decide(self.memory, facts, own, board, self.identity, TALK)
        self.memory = decision.memory
        if StartVm() in decision.effects:
            self.asked_at.append(now)
            self.vm = LocalVm(VmState.STARTING)
        return next_look(decision, now + TALK.loop_s)


def played(latency_s: float, free_ats: list[float], phases: list[float]) -> dict[int, Host]:
    """Play hosts that watch the lease expire, each at its own time and phase of its loop."""
    ids = list(range(1, len(free_ats) + 1))
    hosts = {
        host_id: Host(host_id, [i for i in ids if i != host_id], free_at)
        for host_id, free_at in zip(ids, free_ats)
    }
    looks = [(NOW + phase, host_id) for host_id, phase in zip(ids, phases)]
    heapq.heapify(looks)
    while looks[0][0] < NOW + HORIZON_S:
        now, host_id = heapq.heappop(looks)
        heapq.heappush(looks, (hosts[host_id].look(now, hosts, latency_s), host_id))
    return hosts


def assert_the_first_asks_alone(hosts: dict[int, Host], latency_s: float) -> None:
    asked = [(at, host) for host in hosts.values() for at in host.asked_at]
    assert len(asked) == 1
    ((at, host),) = asked
    assert at == host.free_at
    assert host.free_at <= min(each.free_at for each in hosts.values()) + latency_s + 1e-6


@given(data=st.data(), count=st.integers(2, 5))
def test_however_differently_a_dead_owners_renewals_are_seen_the_first_who_may_asks_alone(
    data: st.DataObject, count: int
) -> None:
    """As long as a record is read within half of `lease_claim_s` after it was written."""
    latency_s = data.draw(st.floats(0, TALK.lease_claim_s / 2 - 0.01), label="latency")
    frees, phases = [], []
    for host_id in range(1, count + 1):
        sight_s = data.draw(st.floats(0, 2 * TALK.io_timeout_s), label=f"free for host {host_id}")
        frees.append(NOW + 20 + sight_s)
        phases.append(data.draw(st.floats(0, TALK.loop_s), label="phase"))
    assert_the_first_asks_alone(played(latency_s, frees, phases), latency_s)


def test_a_lower_id_that_may_have_it_later_does_not_go_by_a_claim_that_nobody_could_read() -> None:
    # The claims of 1 and 2 can be read a quarter of a second after 3 took the lease, were a claim
    # made but 5 s beforehand.
    frees = [NOW + 21.0, NOW + 21.0, NOW + 20.5]
    hosts = played(4.75, frees, [0.0, 0.0, 0.0])
    assert_the_first_asks_alone(hosts, 4.75)
