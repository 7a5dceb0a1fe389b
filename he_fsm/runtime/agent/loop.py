"""The agent's loop: observe, publish, read, decide, act; every 10 s, and when something happens."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Optional, Protocol

import attrs
from transitions import Machine

from he_fsm import tick
from he_fsm.effects import (
    Alarm,
    CancelMigration,
    Effect,
    EndGlobal,
    GiveUpArrival,
    LetGo,
    MigrateVm,
    Notify,
    PowerOffVm,
    ShutDownVm,
    StartVm,
    StopAgent,
    WriteGlobal,
)
from he_fsm.errors import HeFsmError, HypervisorError
from he_fsm.history.look import Look, keep_nothing
from he_fsm.machine import build_machine, follow
from he_fsm.memory import Memory
from he_fsm.metadata.record import HostRecord, ProblemWord
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.policy import Policy
from he_fsm.runtime.agent.counted import Counted
from he_fsm.runtime.agent.engine_seen import EngineSeen
from he_fsm.runtime.agent.memory_file import MemoryFile
from he_fsm.runtime.agent.peer_names import names_seen, peer_of
from he_fsm.runtime.agent.problem_lines import problem_lines
from he_fsm.runtime.agent.report import report_of
from he_fsm.runtime.agent.sight import AskedBroker, Sight
from he_fsm.runtime.agent.slot_0 import Slot0Broker, write_slot_0
from he_fsm.runtime.agent.telling import Telling
from he_fsm.runtime.logind.shutdown import NoShutdown, Shutdown
from he_fsm.runtime.ports import Event, Hypervisor
from he_fsm.runtime.service.clocks import Clocks, boot_time
from he_fsm.runtime.service.log import Repeats
from he_fsm.runtime.service.supervised import troubles
from he_fsm.runtime.vm_orders.by_hand import ByHand
from he_fsm.runtime.vm_orders.order import VmOrder
from he_fsm.score import Score
from he_fsm.snapshot import Outcome, Result, VmState
from he_fsm.step import Step

_log = logging.getLogger(__name__)
# Edges are followed at once; this many in a row would be a circle.
_CHAIN_MAX = 16


class Broker(AskedBroker, Slot0Broker, Protocol):
    """What the loop asks of the broker, over its socket or in the same process."""

    def whiteboard(self) -> bytes:
        """All slots."""

    def write_slot(self, block: bytes) -> None:
        """Write this host's own slot."""

    def report(self, report: dict[str, Any]) -> Sequence[VmOrder]:
        """Tell what the agent thinks; return what people order of it, each order once."""

    def tell(self, event: Event) -> None:
        """Queue something that people may be told."""

    def wake(self, after: int, timeout_s: float) -> int:
        """Wait until the number of changes is not *after*; give it."""

    def leave(self) -> None:
        """Release this host's id."""


class Loop:
    """
    One host's agent, without the process around it.

    `look` makes one pass and returns the monotonic time of the next; the caller may call it
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
        keep: Callable[[Look], None] = keep_nothing,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        boot_clock: Callable[[], float] = boot_time,
        shutdown: Optional[Shutdown] = None,
    ) -> None:
        """
        Begin with what the last agent remembered.

        Args:
            keep: takes each look for the history, and does not wait.
            boot_clock: as *clock*, but it counts the time in which the host was suspended.
            shutdown: how the host is shut down in order; None: it never is.
        """
        self.identity = identity
        self.policy = policy
        self.broker = broker
        self.hypervisor = hypervisor
        self._shutdown = NoShutdown() if shutdown is None else shutdown
        self._by_hand = ByHand(hypervisor, identity.host_id)
        self._memory_file = memory_file
        self._keep = keep
        self._clock = clock
        self._wall_clock = wall_clock
        self._repeats = Repeats(_log)
        self._sight = Sight(
            broker, hypervisor, Clocks(monotonic=clock, boot=boot_clock), wall_clock, self._repeats
        )
        now = clock()
        try:
            self.memory: Memory = memory_file.load(now, wall_clock())
        except HeFsmError as error:
            _log.warning("%s", error)
            self.memory = Memory.beginning(now)
        self.machine: Machine = build_machine()
        self._next_loop = now
        self._telling = Telling()
        self._engine_seen = EngineSeen()
        self._counted = Counted()
        self._score_shown: Optional[int] = None
        # How long the last look took, with all that followed from it.
        self._worked_s: Optional[float] = None
        # Why the hypervisor could not be told to start the VM, in the pass before.
        self._start_error: Optional[str] = None
        self._problems: dict[int, ProblemWord] = {}
        self.stop_reason: Optional[str] = None
        self.decision: Optional[Step] = None

    def look(self) -> float:
        """Do one pass, and more at once while edges are taken; give when to look again."""
        began = self._clock()
        while self._next_loop <= began:
            self._next_loop += self.policy.loop_s
        for _ in range(_CHAIN_MAX):
            decision, has_obeyed = self._pass()
            is_settled = decision.edge is None and not has_obeyed
            if is_settled or self.stop_reason is not None:
                break
        else:
            _log.error("%d edges in a row: they go round in a circle", _CHAIN_MAX)
        self._save()
        self._worked_s = self._clock() - began
        return tick.next_look(decision, self._next_loop)

    def _pass(self) -> tuple[Step, bool]:
        """Look once and do what follows; also return whether somebody's order was carried out."""
        facts = self._with_failed_start(self._sight.look(self.policy))
        facts = facts._replace(leaves_by=self._shutdown.leaves_by)
        self._shutdown.keep_awake(is_needed=facts.vm.state is not VmState.ABSENT)
        self._by_hand.take_results(facts.results)
        own, score = self._publish(facts)
        whiteboard = self._read()
        before = self.memory
        decision = tick.decide(before, facts, own, whiteboard, self.identity, self.policy)
        self.memory = decision.memory
        self.decision = decision
        edge = None if decision.edge is None else decision.edge.name
        self._counted.take(before, decision.memory, edge)
        self._keep(Look.of(before, facts, own, whiteboard, score, decision, self._clock()))
        self._follow(decision)
        self._telling.take(decision, self.identity, self._clock())
        for effect in decision.effects:
            self._perform(effect, decision)
        self._note_problems(decision, facts)
        self._tell_people()
        orders = self._report(facts, decision, own, score.why)
        for order in orders:
            # As an effect: the pass that follows at once sees it.
            names, alive = names_seen(self.memory), decision.liveness.alive
            self._by_hand.carry_out(order, facts, self.policy, names, alive)
        return decision, bool(orders)

    def _with_failed_start(self, facts: tick.Facts) -> tick.Facts:
        """Add the result of a start that could not be ordered, and of which nothing has come."""
        error, self._start_error = self._start_error, None
        if error is None or facts.vm.state is not VmState.ABSENT:
            return facts
        return facts._replace(results=(*facts.results, Result(Outcome.START_FAILED, error)))

    # Publish and read.

    def _publish(self, facts: tick.Facts) -> tuple[Optional[HostRecord], Score]:
        score = tick.rate_host(self.memory, facts, self.identity, self.policy)
        if score.total != self._score_shown:
            _log.info("score %d: %s", score.total, score.why)
            self._score_shown = score.total
        if facts.leases is None or not facts.leases.joined:
            return None, score
        record = self._record(facts, score.total)
        return (record if self._write(record, facts, score.why) else None), score

    def _record(self, facts: tick.Facts, total: int, *, is_stopped: bool = False) -> HostRecord:
        """Return this host's record, with the version of the VM's definition that it has now."""
        return tick.make_record(
            facts,
            attrs.evolve(self.identity, definition=self._sight.observed.definition),
            total,
            self.policy,
            claims_lease=not is_stopped and self.memory.claimed_at is not None,
            keeps_engine=self.memory.keeps_engine,
            is_stopped=is_stopped,
        )

    def _write(self, record: HostRecord, facts: tick.Facts, why: str) -> bool:
        try:
            who = self.identity
            block = tick.make_block(
                record, self.memory, facts, why, who.version, who.policy_print, who.release
            )
            self.broker.write_slot(block)
        except HeFsmError as error:
            self._repeats.complain("write", "this host's record is not written: %s", error)
            return False
        self._repeats.end("write", "this host's record is written again")
        return True

    def _read(self) -> Optional[Whiteboard]:
        if self._sight.is_broker_away:
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
        """Fire the edge on the machine, which refuses undeclared ones."""
        edge = decision.edge
        if edge is None:
            return
        if self.machine.state != edge.source.value:
            # A new agent's machine begins where its memory does.
            self.machine.set_state(edge.source.value)
        follow(self.machine, decision)

    def _tell_people(self) -> None:
        """Hand over what people are to be told; it waits for a broker that is away."""
        if self._sight.is_broker_away or not self._telling.waits:
            return
        error = self._telling.hand_over(self.broker.tell)
        if error is None:
            self._repeats.end("notify", "people are told again")
        else:
            self._repeats.complain("notify", "people are not told yet: %s", error)

    def _perform(self, effect: Effect, decision: Step) -> None:
        if isinstance(effect, (Notify, Alarm)):
            # They are on their way to the broker.
            return
        if isinstance(effect, StopAgent):
            self.stop_reason = effect.reason
            return
        if isinstance(effect, LetGo):
            self._shutdown.let_go(effect.reason)
            return
        if isinstance(effect, (WriteGlobal, EndGlobal)):
            write_slot_0(effect, self.broker, self._repeats)
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
                hypervisor.migrate(peer_of(self.memory, effect.target))
            elif isinstance(effect, CancelMigration):
                hypervisor.cancel_migration()
            elif isinstance(effect, GiveUpArrival):
                hypervisor.give_up_arrival()
        except HypervisorError as error:
            # It is not known whether the verb took effect: the next pass observes again.
            _log.warning("%s: %s", type(effect).__name__, error)
            if isinstance(effect, StartVm):
                self._start_error = str(error)

    # Say.

    def _note_problems(self, decision: Step, facts: tick.Facts) -> None:
        problems = tick.problems_of(decision, facts.leases, self.identity.host_id)
        begun, over = problem_lines(self._problems, problems)
        for line in begun:
            _log.warning("%s", line)
        for line in over:
            _log.info("%s", line)
        self._problems = problems

    def _report(
        self,
        facts: tick.Facts,
        decision: Step,
        own: Optional[HostRecord],
        score_text: str,
    ) -> Sequence[VmOrder]:
        here = tick.engine_status(facts.vm)
        self._engine_seen.look(decision, self.identity.host_id, here, facts.now)
        if self._sight.is_broker_away:
            return ()
        report = report_of(
            facts,
            decision,
            own,
            self._telling,
            endings_forget_s=self.policy.endings_forget_s,
            hostname=self.identity.hostname,
            loop_s=self.policy.loop_s,
            worked_s=None if self._worked_s is None else round(self._worked_s, 4),
            score=self._score_shown,
            score_why=score_text,
            problems={str(slot): word.value for slot, word in self._problems.items()},
            threads=troubles(),
            engine_seen=self._engine_seen.report(facts.now),
            migration=self._sight.observed.progress,
            vm_detail=self._sight.observed.detail,
            watchdog_s=self.policy.watchdog_s,
            **self._counted.report(),
            **self._by_hand.report(),
        )
        orders: Sequence[VmOrder] = ()
        try:
            orders = self.broker.report(report)
        except HeFsmError as error:
            self._repeats.complain("report", "the status is not up to date: %s", error)
        else:
            self._repeats.end("report", "the status is up to date again")
        return orders

    def _save(self, *, is_last: bool = False) -> None:
        now, wall_now = self._clock(), self._wall_clock()
        try:
            self._memory_file.save(self.memory, now, wall_now, is_last=is_last)
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
        facts = self._sight.look(self.policy, joins=False)
        if facts.leases is not None and facts.leases.joined:
            record = self._record(facts, 0, is_stopped=True)
            is_published = self._write(record, facts, "the agent has stopped")
            # safety: a VM that is here, or arrives, would lose its lease with the host id.
            if is_published and facts.vm.state is VmState.ABSENT:
                self._leave()
        if facts.vm.state is not VmState.ABSENT:
            _log.info("the engine VM here (%s) is left alone", facts.vm.state.value)
        self._save(is_last=True)

    def _leave(self) -> None:
        try:
            self.broker.leave()
        except HeFsmError as error:
            _log.warning("the host id is not given back: %s", error)
