"""What an agent finds out at one moment: of its broker, its hypervisor and its clocks."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final, Optional, Protocol

import attrs

from he_fsm import tick
from he_fsm.errors import HeFsmError, LockspaceError, StorageError
from he_fsm.policy import Policy
from he_fsm.runtime.broker.protocol import BrokerFacts, EngineHealth
from he_fsm.runtime.ports import Hypervisor, Observation
from he_fsm.runtime.service.clocks import Clocks
from he_fsm.runtime.service.log import Repeats
from he_fsm.snapshot import Health, LocalVm, Reading, Readings, Result, VmState

_log = logging.getLogger(__name__)
# A host that is suspended while it asks how it is asks anew, so often at most.
_ASK_MAX: Final = 3


class AskedBroker(Protocol):
    """What is asked of the broker here."""

    def facts(self) -> BrokerFacts:
        """Readings, leases and the local flag."""

    def join(self) -> None:
        """Take this host's id."""


class Sight:
    """Asks for the facts of each pass, and knows what the last ones were."""

    def __init__(
        self,
        broker: AskedBroker,
        hypervisor: Hypervisor,
        clocks: Clocks,
        wall_clock: Callable[[], float],
        repeats: Repeats,
    ) -> None:
        self._broker = broker
        self._hypervisor = hypervisor
        self._clocks = clocks
        self._wall_clock = wall_clock
        self._repeats = repeats
        # Readings of the last pass: their ages grow while the broker is away.
        self._readings: Optional[Readings] = None
        self._readings_at = clocks.monotonic()
        self._was_in_maintenance = False
        # What the hypervisor said in the last pass.
        self.observed = Observation(vm=LocalVm(VmState.UNKNOWN))
        # When no VM was last seen to execute here: an older page is not this VM's.
        self._not_up_at = -math.inf
        # It did not answer in this pass: it is not asked again before the next.
        self.is_broker_away = False

    def look(self, policy: Policy, *, joins: bool = True) -> tick.Facts:
        """
        Ask broker and hypervisor; anew where this host was suspended meanwhile.

        *joins*: take the host id where it is not held.
        """
        results: tuple[Result, ...] = ()
        for _ in range(_ASK_MAX):
            now, boot_now = self._clocks.read()
            found = self._ask_broker(joins=joins)
            facts = self._facts_of(found, now, boot_now, policy.reading_age_max_s)
            # Each result is reported once.
            results += self.observed.results
            if not self._clocks.has_slept_since(boot_now - now):
                break
            _log.info("this host was suspended while it looked: it looks again")
        return facts._replace(results=results)

    def _facts_of(
        self, found: Optional[BrokerFacts], now: float, boot_now: float, age_max_s: float
    ) -> tick.Facts:
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
            vm=self._vm(engine, now, age_max_s),
            leases=None if leases is None else leases.view,
            local_maintenance=self._local_flag(found),
            boot_now=boot_now,
        )

    def _ask_broker(self, *, joins: bool) -> Optional[BrokerFacts]:
        try:
            facts = self._broker.facts()
            if joins and facts.leases is not None and not facts.leases.view.joined:
                facts = self._join(facts)
        except HeFsmError as error:
            self._repeats.complain("broker", "%s", error)
            self.is_broker_away = True
            return None
        self._repeats.end("broker", "the broker answers again")
        self.is_broker_away = False
        self._was_in_maintenance = facts.local_maintenance
        return facts

    def _join(self, before: BrokerFacts) -> BrokerFacts:
        """Take the host id: nothing is written without; return the facts as they are then."""
        try:
            self._broker.join()
        except (LockspaceError, StorageError) as error:
            self._repeats.complain("join", "the host id is not taken: %s", error)
            return before
        self._repeats.end("join", "the host id is taken")
        return self._broker.facts()

    def _local_flag(self, facts: Optional[BrokerFacts]) -> bool:
        """Return the local flag; the last known one while the broker is away."""
        return self._was_in_maintenance if facts is None else facts.local_maintenance

    def _aged_readings(self, now: float) -> Readings:
        """Return the last readings, older by the time that the broker has been away."""
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

    def _vm(self, engine: EngineHealth, now: float, age_max_s: float) -> LocalVm:
        """
        Join what the hypervisor says and what the health page says.

        A page says nothing that is old, or was read before this VM executed.
        """
        self.observed = self._hypervisor.observe()
        vm = self.observed.vm
        if vm.state is VmState.UNKNOWN:
            self._repeats.complain("hypervisor", "%s", self.observed.detail)
            return vm
        self._repeats.end("hypervisor", "the hypervisor answers again")
        if vm.state in (VmState.ABSENT, VmState.STARTING):
            self._not_up_at = now
        if vm.state in (VmState.ABSENT, VmState.ARRIVING):
            return vm
        is_old = engine.age_s > age_max_s or now - engine.age_s <= self._not_up_at
        return LocalVm(vm.state, Health.UNKNOWN if is_old else engine.health)
