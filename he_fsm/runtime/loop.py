"""The agent's loop: observe, publish, read, decide, act; every 10 s, and when something happens."""

from __future__ import annotations

import collections
import logging
import math
import time
from collections.abc import Callable
from typing import Any, Optional, Protocol

import attrs
from transitions import Machine

from he_fsm import tick
from he_fsm.effects import (
    CancelMigration,
    Effect,
    MigrateVm,
    Notify,
    PowerOffVm,
    ShutDownVm,
    StartVm,
    StopAgent,
)
from he_fsm.errors import HeFsmError, HypervisorError, LockspaceError, StorageError
from he_fsm.machine import build_machine, fire
from he_fsm.memory import Memory
from he_fsm.metadata.engine import engine_words
from he_fsm.metadata.record import HostRecord
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.policy import Policy
from he_fsm.runtime.broker.protocol import BrokerFacts, EngineHealth
from he_fsm.runtime.log import Repeats
from he_fsm.runtime.memory_file import MemoryFile
from he_fsm.runtime.ports import Event, Hypervisor
from he_fsm.snapshot import Health, LocalVm, Reading, Readings, VmState
from he_fsm.states.row import Transition
from he_fsm.step import Step

_log = logging.getLogger(__name__)
# Edges are followed at once; this many in a row would be a circle.
_CHAIN_MAX = 16
_EVENTS_KEPT = 20
# Edges that nobody wants to hear of are among them: failed starts must not be pushed out.
_UNTOLD_MAX = 200


class Broker(Protocol):
    """What the loop asks of the broker, over its socket or in the same process."""

    def facts(self) -> BrokerFacts:
        """Readings, leases and the local flag."""

    def join(self) -> None:
        """Take this host's id."""

    def whiteboard(self) -> bytes:
        """All slots."""

    def write_slot(self, block: bytes) -> None:
        """Write this host's own slot."""

    def report(self, report: dict[str, Any]) -> None:
        """Tell what the agent thinks."""

    def tell(self, event: Event) -> None:
        """Queue something that people may be told."""

    def wake(self, after: int, timeout_s: float) -> int:
        """Wait until the number of changes is not *after*; give it."""

    def leave(self) -> None:
        """Give this host's id back."""


class Loop:
    """
    One host's agent, without the process around it.

    `look` does one pass and gives the monotonic time of the next; whoever calls it may call it
    earlier when something happens. A bug ends it by its exception; trouble outside does not.
    """

    def __init__(  # noqa: PLR0913 - its parts
        self,
        *,
        identity: tick.Identity,
        policy: Policy,
        broker: Broker,
        hypervisor: Hypervisor,
        memory_file: MemoryFile,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin with what the last agent remembered."""
        self.identity = identity
        self.policy = policy
        self.broker = broker
        self.hypervisor = hypervisor
        self._memory_file = memory_file
        self._clock = clock
        self._wall_clock = wall_clock
        self._repeats = Repeats(_log)
        now = clock()
        try:
            self.memory: Memory = memory_file.load(now)
        except HeFsmError as error:
            _log.warning("%s", error)
            self.memory = Memory.beginning(now)
        self.machine: Machine = build_machine()
        self._next_loop = now
        # Readings of the last pass: they grow old while the broker is away.
        self._readings: Optional[Readings] = None
        self._readings_at = now
        self._was_in_maintenance = False
        # When no VM was last seen to execute here: an older page is not this VM's.
        self._not_up_at = -math.inf
        # It did not answer in this pass: it is not asked again before the next.
        self._is_broker_away = False
        # What people are to be told as soon as the broker is back.
        self._untold: collections.deque[Event] = collections.deque(maxlen=_UNTOLD_MAX)
        self._score_shown: Optional[int] = None
        # How long the last look took, with all that followed from it.
        self._worked_s: Optional[float] = None
        self._problems: dict[str, str] = {}
        self._events: collections.deque[dict[str, Any]] = collections.deque(maxlen=_EVENTS_KEPT)
        self.stop_reason: Optional[str] = None
        self.decision: Optional[Step] = None

    def look(self) -> float:
        """Do one pass, and more at once while edges are taken; give when to look again."""
        began = self._clock()
        while self._next_loop <= began:
            self._next_loop += self.policy.loop_s
        for _ in range(_CHAIN_MAX):
            decision = self._pass()
            if decision.edge is None or self.stop_reason is not None:
                break
        else:
            _log.error("%d edges in a row: they go round in a circle", _CHAIN_MAX)
        self._save()
        self._worked_s = self._clock() - began
        return tick.next_look(decision, self._next_loop)

    def _pass(self) -> Step:
        facts = self._facts()
        own, score_text = self._publish(facts)
        whiteboard = self._read()
        before = self.memory
        decision = tick.decide(before, facts, own, whiteboard, self.identity, self.policy)
        self.memory = decision.memory
        self.decision = decision
        if decision.edge is not None:
            self._follow(decision)
        for effect in decision.effects:
            self._perform(effect, decision)
        self._note_problems(decision, facts)
        self._tell_people()
        self._report(facts, decision, own, score_text)
        return decision

    # Observe.

    def _facts(self, *, joins: bool = True) -> tick.Facts:
        now = self._clock()
        found = self._ask_broker(joins=joins)
        if found is None:
            readings = self._aged_readings(now)
            engine = EngineHealth(health=Health.UNKNOWN, age_s=0.0)
        else:
            self._readings, self._readings_at = found.readings, now
            readings, engine = found.readings, found.engine
        leases = None if found is None else found.leases
        return tick.Facts(
            now=now,
            wall_offset_s=self._wall_clock() - now,
            readings=readings,
            vm=self._vm(engine, now),
            leases=None if leases is None else leases.view,
            local_maintenance=self._local_flag(found),
            results=self._results(),
        )

    def _ask_broker(self, *, joins: bool) -> Optional[BrokerFacts]:
        try:
            facts = self.broker.facts()
            if joins and facts.leases is not None and not facts.leases.view.joined:
                facts = self._join(facts)
        except HeFsmError as error:
            self._repeats.complain("broker", "%s", error)
            self._is_broker_away = True
            return None
        self._repeats.end("broker", "the broker answers again")
        self._is_broker_away = False
        self._was_in_maintenance = facts.local_maintenance
        return facts

    def _join(self, before: BrokerFacts) -> BrokerFacts:
        """Take the host id: nothing is written without; give the facts as they are then."""
        try:
            self.broker.join()
        except (LockspaceError, StorageError) as error:
            self._repeats.complain("join", "the host id is not taken: %s", error)
            return before
        self._repeats.end("join", "the host id is taken")
        return self.broker.facts()

    def _local_flag(self, facts: Optional[BrokerFacts]) -> bool:
        """Give the local flag; the last known one while the broker is away."""
        return self._was_in_maintenance if facts is None else facts.local_maintenance

    def _aged_readings(self, now: float) -> Readings:
        """Give the last readings, older by the time that the broker has been away."""
        if self._readings is None:
            missing = Reading(None, now - self._readings_at)
            return Readings(
                gateway=missing,
                bridge=missing,
                mem_free=missing,
                cpu_load=missing,
                mem_load=missing,
            )
        away_s = now - self._readings_at
        last = self._readings

        def older(reading: Reading) -> Reading:
            return Reading(reading.value, reading.age_s + away_s)

        return attrs.evolve(
            last,
            gateway=older(last.gateway),
            bridge=older(last.bridge),
            mem_free=older(last.mem_free),
            cpu_load=older(last.cpu_load),
            mem_load=older(last.mem_load),
        )

    def _vm(self, engine: EngineHealth, now: float) -> LocalVm:
        """
        Join what the hypervisor says and what the health page says.

        A page says nothing that is old, or was read before this VM executed.
        """
        try:
            vm = self.hypervisor.vm()
        except HypervisorError as error:
            self._repeats.complain("hypervisor", "%s", error)
            return LocalVm(VmState.UNKNOWN)
        self._repeats.end("hypervisor", "the hypervisor answers again")
        if vm.state in (VmState.ABSENT, VmState.STARTING):
            self._not_up_at = now
        if vm.state in (VmState.ABSENT, VmState.ARRIVING, VmState.UNKNOWN):
            return vm
        is_old = (
            engine.age_s > self.policy.reading_age_max_s or now - engine.age_s <= self._not_up_at
        )
        return LocalVm(vm.state, Health.UNKNOWN if is_old else engine.health)

    def _results(self) -> tuple[Any, ...]:
        try:
            return self.hypervisor.results()
        except HypervisorError:
            return ()

    # Publish and read.

    def _publish(self, facts: tick.Facts) -> tuple[Optional[HostRecord], str]:
        score = tick.rate_host(self.memory, facts, self.identity, self.policy)
        if score.total != self._score_shown:
            _log.info("score %d: %s", score.total, score.why)
            self._score_shown = score.total
        if facts.leases is None or not facts.leases.joined:
            return None, score.why
        claims = self.memory.claimed_at is not None
        record = tick.make_record(facts, self.identity, score.total, claims_lease=claims)
        return (record if self._write(record, facts, score.why) else None), score.why

    def _write(self, record: HostRecord, facts: tick.Facts, why: str) -> bool:
        try:
            block = tick.make_block(record, self.memory, facts, why, self.identity.version)
            self.broker.write_slot(block)
        except HeFsmError as error:
            self._repeats.complain("write", "this host's record is not written: %s", error)
            return False
        self._repeats.end("write", "this host's record is written again")
        return True

    def _read(self) -> Optional[Whiteboard]:
        if self._is_broker_away:
            return None
        try:
            data = self.broker.whiteboard()
        except HeFsmError as error:
            self._repeats.complain("storage", "the whiteboard can't be read: %s", error)
            return None
        self._repeats.end("storage", "the whiteboard can be read again")
        return tick.read_whiteboard(data, self.identity, self.policy)

    # Act.

    def _follow(self, decision: Step) -> None:
        """Fire the edge on the machine, which refuses undeclared ones, and say it."""
        edge = decision.edge
        if edge is None:
            return
        if self.machine.state != edge.source.value:
            # A new agent's machine begins where its memory does.
            self.machine.set_state(edge.source.value)
        fire(self.machine, edge)
        _log.info("%s -> %s: %s", edge.source.value, edge.to.value, decision.reason)
        self._events.append(
            {
                "at": self._clock(),
                "from": edge.source.value,
                "to": edge.to.value,
                "edge": edge.name,
                "why": decision.reason,
            }
        )
        self._untold.append(self._event(edge, decision.reason))

    def _event(self, edge: Transition, why: str) -> Event:
        source, to = edge.source.value, edge.to.value
        return Event(
            subject=f"{source}-{to}",
            host_id=self.identity.host_id,
            hostname=self.identity.hostname,
            source=source,
            to=to,
            edge=edge.name,
            why=why,
            notifies=edge.notifies,
        )

    def _tell_people(self) -> None:
        """Hand over what people are to be told; it waits for a broker that is away."""
        while self._untold and not self._is_broker_away:
            try:
                self.broker.tell(self._untold[0])
            except HeFsmError as error:
                self._repeats.complain("notify", "people are not told yet: %s", error)
                return
            self._untold.popleft()
            self._repeats.end("notify", "people are told again")

    def _perform(self, effect: Effect, decision: Step) -> None:
        if isinstance(effect, Notify):
            return
        if isinstance(effect, StopAgent):
            self.stop_reason = effect.reason
            return
        _log.info("%s: %s", type(effect).__name__, decision.reason)
        hypervisor = self.hypervisor
        try:
            if isinstance(effect, StartVm):
                hypervisor.start()
            elif isinstance(effect, ShutDownVm):
                hypervisor.shut_down()
            elif isinstance(effect, PowerOffVm):
                hypervisor.power_off()
            elif isinstance(effect, MigrateVm):
                hypervisor.migrate(effect.target)
            elif isinstance(effect, CancelMigration):
                hypervisor.cancel_migration()
        except HypervisorError as error:
            # It is not known whether the verb took effect: the next pass observes again.
            _log.warning("%s: %s", type(effect).__name__, error)

    # Say.

    def _note_problems(self, decision: Step, facts: tick.Facts) -> None:
        found = tick.problems_of(decision, facts.leases, self.identity.host_id)
        problems = {str(slot): word.value for slot, word in found.items()}
        for slot in sorted({*problems, *self._problems}):
            word = problems.get(slot)
            if word != self._problems.get(slot):
                _log.warning("slot %s: %s", slot, word or "believed again")
        self._problems = problems

    def _report(
        self,
        facts: tick.Facts,
        decision: Step,
        own: Optional[HostRecord],
        score_text: str,
    ) -> None:
        if self._is_broker_away:
            return
        memory = decision.memory
        report = {
            "hostname": self.identity.hostname,
            "state": memory.state.value,
            "loop_s": self.policy.loop_s,
            "worked_s": None if self._worked_s is None else round(self._worked_s, 4),
            "state_for_s": round(facts.now - memory.since, 3),
            "why": decision.reason,
            "score": self._score_shown,
            "score_why": score_text,
            "published": own is not None,
            "vm": facts.vm.state.value,
            "health": facts.vm.health.value,
            "engine": engine_words(tick.engine_status(facts.vm)),
            "alive": sorted(decision.liveness.alive),
            "pending": sorted(decision.liveness.pending),
            "placement": decision.placement.reason,
            "problems": self._problems,
            "sees": _sees(decision, facts.now),
            "failed_starts": memory.failed.count,
            "migration": self._progress(),
            "events": [
                {**event, "age_s": round(facts.now - event["at"], 3)} for event in self._events
            ],
        }
        try:
            self.broker.report(report)
        except HeFsmError as error:
            self._repeats.complain("report", "the status is not up to date: %s", error)
        else:
            self._repeats.end("report", "the status is up to date again")

    def _progress(self) -> Optional[float]:
        try:
            return self.hypervisor.progress()
        except HypervisorError:
            # Said already: the VM was asked for in this pass.
            return None

    def _save(self) -> None:
        try:
            self._memory_file.save(self.memory, self._clock())
        except HeFsmError as error:
            self._repeats.complain("memory", "%s", error)
        else:
            self._repeats.end("memory", "what the agent remembers is written again")

    @property
    def score(self) -> int:
        """The score as it was last computed."""
        return self._score_shown or 0

    def reload(self, identity: tick.Identity, policy: Policy) -> None:
        """Go on with other numbers; what is remembered stays."""
        self.identity = identity
        self.policy = policy

    def stop(self) -> None:
        """End cleanly: publish the stopped flag, give the host id back where no VM needs it."""
        facts = self._facts(joins=False)
        if facts.leases is not None and facts.leases.joined:
            record = tick.make_record(facts, self.identity, 0, is_stopped=True)
            is_published = self._write(record, facts, "0: the agent has stopped")
            # safety: a VM that is here, or arrives, would lose its lease with the host id.
            if is_published and facts.vm.state is VmState.ABSENT:
                self._leave()
        if facts.vm.state is not VmState.ABSENT:
            _log.info("the engine VM here (%s) is left alone", facts.vm.state.value)
        self._save()

    def _leave(self) -> None:
        try:
            self.broker.leave()
        except HeFsmError as error:
            _log.warning("the host id is not given back: %s", error)


def _sees(decision: Step, now: float) -> dict[str, Any]:
    """Give the records that this host believes of those that it takes for alive."""
    seen = {}
    for host_id in decision.liveness.alive:
        sighting = decision.memory.sightings.get(host_id)
        if sighting is None or sighting.record is None:
            continue
        record = sighting.record
        grew_at = sighting.since if sighting.grew_at is None else sighting.grew_at
        seen[str(host_id)] = {
            "score": record.score,
            "vm": record.engine.vm,
            "hostname": record.hostname,
            "maintenance": record.local_maintenance,
            "stopped": record.stopped,
            "age_s": round(now - grew_at, 3),
        }
    return seen
