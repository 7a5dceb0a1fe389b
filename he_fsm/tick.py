"""
One pass of a host's loop, everything but the I/O.

The daemon and the simulator both do: `make_record` → write `make_block` to the own slot → read the
whiteboard → `decide` → carry out the effects; again at once after an edge, else at
`next_look`. Neither has a decision of its own.
"""

from __future__ import annotations

from typing import Final, Optional

import attrs

from he_fsm.crowd import unlike_the_crowd
from he_fsm.memory import Memory
from he_fsm.metadata.codec import encode_slot
from he_fsm.metadata.engine import engine_words
from he_fsm.metadata.layout import PARSE_VERSION
from he_fsm.metadata.record import (
    FROZEN,
    WAITS_FOR_LAUNCH,
    EngineStatus,
    HostRecord,
    ProblemWord,
)
from he_fsm.metadata.text import human_text
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.policy import Policy
from he_fsm.score import Preference, Score, score
from he_fsm.snapshot import (
    Health,
    LeaseView,
    LocalVm,
    OwnerState,
    Reading,
    Readings,
    Result,
    Snapshot,
    VmState,
)
from he_fsm.step import Step, step
from he_fsm.value import Value
from he_fsm.watchdogs import time_to_tell, why_unlike


@attrs.frozen(kw_only=True)
class Identity:
    """What a host's configuration says: who it is, and what the engine VM needs (MiB)."""

    host_id: int
    hostname: str
    memory_needed_mib: float = 4096.0
    # The parse version that this release writes, and up to which it reads.
    version: int = PARSE_VERSION
    # The fingerprint of its policy (`metadata.policy_print`), for others; empty: it is not told.
    policy_print: str = ""
    # The release that the agent is of, for others; empty: it is not told.
    release: str = ""
    # The version of the VM's definition that it has (`metadata.definition`); 0: no shared one.
    definition: int = 0
    # How much its configuration likes it as the engine's host.
    preference: Preference = 0


class Facts(Value):
    """
    What the adapters found out for one pass, the whiteboard apart.

    `now` is the host's monotonic clock; `wall_offset_s` what has to be added to it to get
    the wall clock, for display alone. `boot_now` is its clock that counts suspended time as well
    (CLOCK_BOOTTIME), None where there is none. `leaves_by`: see `Snapshot`.
    """

    __slots__ = (
        "boot_now",
        "leases",
        "leaves_by",
        "local_maintenance",
        "now",
        "readings",
        "results",
        "vm",
        "wall_offset_s",
    )

    def __init__(  # noqa: PLR0913 - one for each part
        self,
        now: float,
        wall_offset_s: float,
        readings: Readings,
        vm: LocalVm,
        leases: Optional[LeaseView],
        local_maintenance: bool = False,
        results: tuple[Result, ...] = (),
        boot_now: Optional[float] = None,
        leaves_by: Optional[float] = None,
    ) -> None:
        """Take the parts."""
        self.now: Final = now
        self.wall_offset_s: Final = wall_offset_s
        self.readings: Final = readings
        self.vm: Final = vm
        self.leases: Final = leases
        self.local_maintenance: Final = local_maintenance
        self.results: Final = results
        self.boot_now: Final = boot_now
        self.leaves_by: Final = leaves_by


def rate_host(memory: Memory, facts: Facts, identity: Identity, policy: Policy) -> Score:
    """Score this host as it is now."""
    failed = memory.failed
    return score(
        facts.readings,
        policy,
        memory_needed_mib=identity.memory_needed_mib,
        vm_is_here=facts.vm.state not in (VmState.ABSENT, VmState.ARRIVING, VmState.UNKNOWN),
        failed_starts=failed.penalised,
        blocked=block_of(memory, facts, policy),
        local_maintenance=facts.local_maintenance,
        can_act=facts.vm.state is not VmState.UNKNOWN,
        unfit=unfit_of(memory, facts, policy),
        preference=identity.preference,
    )


def block_of(memory: Memory, facts: Facts, policy: Policy) -> str:
    """Return why nothing is started here after bad endings; empty: it may be."""
    failed = memory.failed
    if failed.count < policy.failed_starts_max:
        return ""
    if facts.now >= failed.last_at + policy.blocked_s(failed.count):
        return ""
    return f"{failed.count} failed starts or bad endings"


def unfit_of(memory: Memory, facts: Facts, policy: Policy) -> str:
    """
    Return why this host can start nothing although it writes its record; empty: it can.

    It is about to be shut down or reset, or to lose its host id, its lease manager goes by other
    times than the policy, or it could not read the storage with its last look: others would wait in
    vain for a host that sees nothing.
    """
    leases = facts.leases
    if leases is None or not leases.joined:
        # It writes no record.
        return ""
    if facts.leaves_by is not None:
        return "this host is about to be shut down"
    if leases.doomed_until is not None and facts.now < leases.doomed_until:
        return leases.doom
    unlike = why_unlike(leases, policy)
    if unlike:
        return unlike
    return "the storage can't be read" if memory.is_blind else ""


def make_record(  # noqa: PLR0913 - all that a record is made of
    facts: Facts,
    identity: Identity,
    total: int,
    policy: Policy,
    *,
    claims_lease: bool = False,
    keeps_engine: bool = False,
    is_stopped: bool = False,
) -> HostRecord:
    """
    Make this host's record; a stopped agent's is its last, with score 0.

    *claims_lease*: this host is about to take the engine's lease (`Memory.claimed_at`).
    *keeps_engine*: no other host is to start the engine (`Memory.keeps_engine`).
    """
    return HostRecord(
        host_id=identity.host_id,
        timestamp=int(facts.now),
        score=0 if is_stopped else total,
        engine=engine_status(facts.vm, claims_lease=claims_lease, keeps_engine=keeps_engine),
        hostname=identity.hostname,
        local_maintenance=facts.local_maintenance,
        stopped=is_stopped,
        parse_version=identity.version,
        feature_version=identity.version,
        local_conf_timestamp=identity.definition,
        watchdog_s=time_to_tell(facts.leases, policy),
    )


# The last record of an agent that stops cleanly says so, as oVirt's agents' do.
_STOPPED_STATE: Final = "AgentStopped"


def make_block(  # noqa: PLR0913 - all that a slot is made of
    record: HostRecord,
    memory: Memory,
    facts: Facts,
    why: str,
    version: int = PARSE_VERSION,
    policy_print: str = "",
    release: str = "",
) -> bytes:
    """
    Make the 4096 bytes of this host's slot: the record, and text for people.

    Raises:
        RecordTooLongError: the record does not fit its 512 bytes.
    """
    readings = facts.readings
    extra = {
        "bridge": _flag(readings.bridge),
        "cpu-load": _number(readings.cpu_load),
        "engine-health": engine_words(record.engine),
        "gateway": _flag(readings.gateway),
        "maintenance": str(record.local_maintenance),
        "mem-free": _number(readings.mem_free),
        "mem-load": _number(readings.mem_load),
        "score-why": why,
        "state": _STOPPED_STATE if record.stopped else memory.state.value,
        "stopped": str(record.stopped),
    }
    text = human_text(record, extra, facts.wall_offset_s)
    return encode_slot(record, text, version=version, policy_print=policy_print, release=release)


def read_whiteboard(data: bytes, identity: Identity, policy: Policy) -> Whiteboard:
    """Decode the whiteboard as this release and this policy believe it."""
    return Whiteboard.parse(data, version=identity.version, score_max=policy.score_max)


def decide(  # noqa: PLR0913 - the whole of what a decision is made from
    memory: Memory,
    facts: Facts,
    own: Optional[HostRecord],
    whiteboard: Optional[Whiteboard],
    identity: Identity,
    policy: Policy,
) -> Step:
    """Decide, from what was published and what was read."""
    return step(memory, snapshot_of(facts, own, whiteboard, identity), policy)


def snapshot_of(
    facts: Facts, own: Optional[HostRecord], whiteboard: Optional[Whiteboard], identity: Identity
) -> Snapshot:
    """Return all that this host sees, from what was published and what was read."""
    return Snapshot(
        now=facts.now,
        host_id=identity.host_id,
        vm=believed_vm(facts),
        own=own,
        whiteboard=whiteboard,
        leases=facts.leases,
        local_maintenance=facts.local_maintenance,
        results=facts.results,
        boot_now=facts.boot_now,
        leaves_by=facts.leaves_by,
        wall_offset_s=facts.wall_offset_s,
    )


def believed_vm(facts: Facts) -> LocalVm:
    """
    Return the VM with what its health page says once all readings are put together.

    A page that does not answer says nothing about the engine where this host reaches nothing at
    all: its bridge is down and its gateway does not answer.
    """
    vm = facts.vm
    if vm.health is not Health.SILENT:
        return vm
    readings = facts.readings
    reaches_nothing = not readings.bridge.value and not readings.gateway.value
    return LocalVm(vm.state, Health.UNKNOWN if reaches_nothing else Health.BAD)


def problems_of(
    decision: Step, leases: Optional[LeaseView], host_id: int
) -> dict[int, ProblemWord]:
    """
    Say which slots this host can't believe, by slot, as of its last reading.

    `silent`: a host's record grows no more, yet it renews the engine's lease: its VM runs there.
    `held`: this host's own id is held by another.
    """
    memory = decision.memory
    problems = {
        slot: seen.problem
        for slot, seen in unlike_the_crowd(memory.sightings).items()
        if seen.problem is not None
    }
    if memory.global_problem is not None:
        problems[0] = memory.global_problem
    if leases is None:
        return problems
    if leases.held_by_other:
        problems[host_id] = ProblemWord.HELD
    owner = leases.owner
    if (
        owner is not None
        and leases.owner_state is OwnerState.LIVE
        and owner in memory.sightings
        and owner not in decision.liveness.alive
        and owner not in decision.liveness.pending
    ):
        problems.setdefault(owner, ProblemWord.SILENT)
    return problems


def next_look(decision: Step, next_loop: float) -> float:
    """Return when to look again (own clock): at the next loop, or when the answer may change."""
    return min(next_loop, decision.wake_at)


def engine_status(
    vm: LocalVm, *, claims_lease: bool = False, keeps_engine: bool = False
) -> EngineStatus:
    """
    Return what the record says of the engine VM, in the words that oVirt's agents read.

    To them a VM whose lease is claimed, or that is kept for this host, is down, as it is.
    """
    if keeps_engine and vm.state is VmState.ABSENT:
        return _KEPT
    if claims_lease and vm.state is VmState.ABSENT:
        return _CLAIM
    return _STATUS[vm.state, vm.health is Health.GOOD]


def _statuses() -> dict[tuple[VmState, bool], EngineStatus]:
    gone = "vm not running on this host"
    bad, sick = "bad vm status", "failed liveliness check"
    statuses = {}
    for good in (False, True):
        health, reason = ("good", None) if good else ("bad", sick)
        statuses.update(
            {
                (VmState.ABSENT, good): EngineStatus("down", "bad", "unknown", gone),
                (VmState.STARTING, good): EngineStatus("up", "bad", "Powering up", bad),
                (VmState.UP, good): EngineStatus("up", health, "Up", reason),
                (VmState.PAUSED, good): EngineStatus("up", "bad", "Paused", bad),
                (VmState.STOPPING, good): EngineStatus("up", health, "Powering down", reason),
                (VmState.LEAVING, good): EngineStatus("up", health, "Migration Source", reason),
                (VmState.ARRIVING, good): EngineStatus("down", "bad", "Migration Destination", bad),
                (VmState.UNKNOWN, good): EngineStatus(
                    "unknown", "unknown", "unknown", "failed to getVmStats"
                ),
            }
        )
    return statuses


_STATUS = _statuses()
_KEPT = EngineStatus("down", "bad", FROZEN, "kept for this host until it is back")
_CLAIM = EngineStatus("down", "bad", WAITS_FOR_LAUNCH, "waiting for the engine's lease")


def _flag(reading: Reading) -> str:
    value = reading.value
    if value is None:
        return "unknown"
    if value >= 1.0:
        return "True"
    return "False" if value <= 0.0 else f"{value:g}"


def _number(reading: Reading) -> str:
    return "unknown" if reading.value is None else f"{reading.value:g}"
