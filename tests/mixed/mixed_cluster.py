"""A cluster in which oVirt's agents and ours share one whiteboard and one lease."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Optional, Union

import attrs

from he_fsm import OVIRT, Health, LocalVm, Memory, Readings, State, VmState, Whiteboard, tick
from he_fsm.effects import PowerOffVm, ShutDownVm, StartVm
from he_fsm.metadata import EngineStatus, HostRecord, decode_slot, encode_global, encode_slot
from he_fsm.metadata.codec import decode_global
from he_fsm.metadata.policy_print import policy_print
from he_fsm.snapshot import LeaseView, Outcome, OwnerState, Result
from tests.mixed.original import SLOT_BYTES, Original, Seen, remotes_of
from tests.mixed.real_original import RealOriginal, make

BOOTS_S: Final = 40.0
LAUNCHES_S: Final = 5.0
SHUTS_DOWN_S: Final = 10.0
# 8 x io_timeout and the watchdog's time.
LEASE_EXPIRES_S: Final = 140.0
CHAIN_MAX: Final = 16
OLD_LOOP_S, LOOP_S = 11.0, 10.0
ABSENT = EngineStatus("down", "bad", "unknown", "vm not running on this host")
LOCKED = EngineStatus(
    *("down", "bad", "Down"), "Storage of VM is locked. Is another host already starting the VM?"
)
UNEXPECTED = EngineStatus("down_unexpected", "bad", "Down", "bad vm status")


@attrs.define
class Vm:
    """The engine VM, which has the lease for as long as it is there."""

    host: int
    began: float
    ends: Optional[float] = None


@attrs.define
class Cluster:
    """Time, storage, lease and VM; hosts are added, and look when their time has come."""

    now: float = 1000.0
    board: bytearray = attrs.field(factory=lambda: bytearray(8 * SLOT_BYTES))
    vm: Optional[Vm] = None
    # Who had the lease when its host lost its power, and until when it counts.
    dead_owner: Optional[tuple[int, float]] = None
    hosts: dict[int, Host] = attrs.field(factory=dict)
    # What was ordered: when, on which host, and what became of it.
    orders: list[tuple[float, int, str]] = attrs.field(factory=list)

    @property
    def owner(self) -> Optional[int]:
        """The host that holds the engine's lease."""
        if self.vm is not None:
            return self.vm.host
        if self.dead_owner is not None and self.now < self.dead_owner[1]:
            return self.dead_owner[0]
        return None

    @property
    def is_good_on(self) -> Optional[int]:
        """The host on which the engine is up and well."""
        vm = self.vm
        is_good = vm is not None and vm.ends is None and self.now - vm.began >= BOOTS_S
        return vm.host if vm is not None and is_good else None

    def start(self, host_id: int) -> bool:
        """Start the VM with its lease; return whether the lease was to be had."""
        is_had = self.owner is None
        if is_had:
            self.vm = Vm(host_id, self.now)
        self.order(host_id, "start" if is_had else "refused")
        return is_had

    def stop(self, host_id: int, after_s: float, what: str) -> None:
        """Have the VM end after a while, if it is on this host."""
        if self.vm is not None and self.vm.host == host_id and self.vm.ends is None:
            self.vm.ends = self.now + after_s
            self.order(host_id, what)

    def order(self, host_id: int, what: str) -> None:
        self.orders.append((self.now, host_id, what))

    def set_global(self, *, is_on: bool) -> None:
        """Set the flag as `hosted-engine --set-maintenance` does on any host."""
        self.board[:SLOT_BYTES] = encode_global(is_on)

    def power_off(self, host_id: int) -> None:
        """Take a host's power away: its VM ends, and the lease runs out."""
        self.hosts[host_id].is_on = False
        if self.vm is not None and self.vm.host == host_id:
            self.dead_owner, self.vm = (host_id, self.now + LEASE_EXPIRES_S), None

    def run(self, seconds: float, seen: Callable[[], None] = lambda: None) -> None:
        """Pass so many seconds; *seen* is called each second."""
        until = self.now + seconds
        while self.now < until:
            self.now += 1.0
            if self.vm is not None and self.vm.ends is not None and self.now >= self.vm.ends:
                self.vm = None
            for host in self.hosts.values():
                if host.is_on and self.now >= host.next_look:
                    host.look()
            seen()

    def record(self, host_id: int) -> HostRecord:
        """Return what a host says of itself."""
        found = decode_slot(
            host_id, bytes(self.board[host_id * SLOT_BYTES : (host_id + 1) * SLOT_BYTES])
        )
        assert isinstance(found, HostRecord)
        return found

    def since(self, moment: float) -> list[tuple[int, str]]:
        """Return what was ordered since a moment, without the times."""
        return [(host_id, what) for t, host_id, what in self.orders if t >= moment]


@attrs.define
class Host:
    """One host: its switches, and its agent."""

    cluster: Cluster
    host_id: int
    next_look: float = 0.0
    is_on: bool = True
    network: float = 1.0
    is_local: bool = False

    def __attrs_post_init__(self) -> None:
        self.cluster.hosts[self.host_id] = self
        self.next_look = self.cluster.now + self.host_id

    def look(self) -> None:
        """Do one loop of the agent."""
        raise NotImplementedError

    def write(self, block: bytes) -> None:
        place = self.host_id * SLOT_BYTES
        self.cluster.board[place : place + SLOT_BYTES] = block

    @property
    def own_vm(self) -> Optional[Vm]:
        vm = self.cluster.vm
        return vm if vm is not None and vm.host == self.host_id else None


@attrs.define
class OldHost(Host):
    """A host with oVirt's agent."""

    agent: Union[Original, RealOriginal] = attrs.field(init=False)
    # How vdsm sees a VM that does not run, until the agent ends it.
    left: EngineStatus = ABSENT

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.agent = make(self.host_id, self._act)

    def look(self) -> None:
        seen = self._seen()
        self.agent.look(seen)
        self.write(encode_slot(record := self.agent.record(seen), record.text))
        self.next_look = self.cluster.now + OLD_LOOP_S

    def stop(self) -> None:
        """Stop the agent cleanly; a VM runs on."""
        record = self.agent.record(self._seen(), is_stopped=True)
        self.write(encode_slot(record, record.text))
        self.is_on = False

    def _seen(self) -> Seen:
        board = bytes(self.cluster.board)
        return Seen(
            now=int(self.cluster.now) + 5000,
            engine=self._engine(),
            remotes=remotes_of(board, self.host_id),
            network=self.network,
            is_global=decode_global(board[:SLOT_BYTES]).maintenance is True,
            is_local=self.is_local,
            board=board,
        )

    def _engine(self) -> EngineStatus:
        vm = self.own_vm
        if vm is None:
            return self.left
        age_s = self.cluster.now - vm.began
        if age_s < BOOTS_S:
            detail = "WaitForLaunch" if age_s < LAUNCHES_S else "Powering up"
            return EngineStatus("up", "bad", detail, "bad vm status")
        return EngineStatus("up", "good", "Up" if vm.ends is None else "Powering down")

    def _act(self, action: str) -> bool:
        if action == "start":
            self.left = ABSENT if self.cluster.start(self.host_id) else LOCKED
        elif action == "shutdown":
            self.left = ABSENT
            self.cluster.stop(self.host_id, SHUTS_DOWN_S, action)
        else:
            self.left = ABSENT
            self.cluster.stop(self.host_id, 0.0, action)
        return True


@attrs.define
class OwnHost(Host):
    """A host with our agent, under policy `ovirt`."""

    memory: Memory = attrs.field(init=False)
    results: tuple[Result, ...] = ()
    identity: tick.Identity = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.memory = Memory.beginning(self.cluster.now)
        self.identity = tick.Identity(
            host_id=self.host_id,
            hostname=f"host{self.host_id}",
            policy_print=policy_print(OVIRT),
        )

    @property
    def state(self) -> State:
        return self.memory.state

    def look(self) -> None:
        for _ in range(CHAIN_MAX):
            if not self._pass():
                break
        self.next_look = self.cluster.now + LOOP_S

    def stop(self) -> None:
        """Stop the agent cleanly; a VM runs on."""
        facts = self._facts()
        record = tick.make_record(facts, self.identity, 0, OVIRT, is_stopped=True)
        self.write(tick.make_block(record, self.memory, facts, "stopped"))
        self.is_on = False

    def _pass(self) -> bool:
        facts = self._facts()
        self.results = ()
        score = tick.rate_host(self.memory, facts, self.identity, OVIRT)
        own = tick.make_record(facts, self.identity, score.total, OVIRT)
        self.write(tick.make_block(own, self.memory, facts, score.why))
        board: Whiteboard = tick.read_whiteboard(bytes(self.cluster.board), self.identity, OVIRT)
        done = tick.decide(self.memory, facts, own, board, self.identity, OVIRT)
        self.memory = done.memory
        for effect in done.effects:
            if isinstance(effect, StartVm):
                if not self.cluster.start(self.host_id):
                    detail = f"the lease is held by host {self.cluster.owner}"
                    self.results = (Result(Outcome.START_REFUSED, detail),)
            elif isinstance(effect, ShutDownVm):
                self.cluster.stop(self.host_id, SHUTS_DOWN_S, "shutdown")
            elif isinstance(effect, PowerOffVm):
                self.cluster.stop(self.host_id, 0.0, "poweroff")
        return done.edge is not None

    def _facts(self) -> tick.Facts:
        return tick.Facts(
            now=self.cluster.now,
            wall_offset_s=1_700_000_000.0,
            readings=Readings.of(gateway=self.network),
            vm=self._vm(),
            leases=self._leases(),
            local_maintenance=self.is_local,
            results=self.results,
            boot_now=self.cluster.now,
        )

    def _vm(self) -> LocalVm:
        vm = self.own_vm
        if vm is None:
            return LocalVm(VmState.ABSENT)
        age_s = self.cluster.now - vm.began
        if age_s < LAUNCHES_S:
            return LocalVm(VmState.STARTING)
        health = Health.BAD if age_s < BOOTS_S else Health.GOOD
        return LocalVm(VmState.UP if vm.ends is None else VmState.STOPPING, health)

    def _leases(self) -> LeaseView:
        owner, dead = self.cluster.owner, self.cluster.dead_owner
        is_dead = dead is not None and owner == dead[0] and self.cluster.vm is None
        return LeaseView(
            owner=owner,
            owner_state=OwnerState.FREE
            if owner is None
            else (OwnerState.FAILING if is_dead else OwnerState.LIVE),
            free_at=dead[1] if dead is not None and is_dead else None,
        )
