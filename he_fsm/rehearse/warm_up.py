"""Before a scenario's time 0: the daemons of a lab come up, and find what the scenario says."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Optional

from he_fsm.errors import HeFsmError
from he_fsm.lab.host import LabHost
from he_fsm.lab.lab import Lab
from he_fsm.rehearse.observe import Blocks, Observer
from he_fsm.scenario.judging.judge import Judge
from he_fsm.scenario.model import Scenario
from he_fsm.states.names import State

# How often everything is looked at, in real seconds.
_LOOK_S = 0.02
# How long the daemons may take to come up and know each other, in real seconds.
_READY_WITHIN_S = 60.0


class WarmUp:
    """The start of a lab for one scenario."""

    def __init__(self, scenario: Scenario, lab: Lab) -> None:
        """Prepare; nothing is started yet."""
        # The scenario's time 0 on the monotonic clock; None: when the warm-up has ended.
        self.began_at: Optional[float] = None
        self._scenario = scenario
        self._lab = lab
        self._hosts = {host.name: host for host in scenario.hosts}
        # Nothing that is observed during the warm-up is judged.
        self._observer = Observer(
            lab, Judge(scenario), time.monotonic(), scenario.engine.running_on
        )

    def run(self) -> Blocks:
        """
        Run the agents until they know each other; return the blocks that they have written.

        Raises:
            HeFsmError: a daemon ends, or does not come up in time.
        """
        self._come_up()
        return self._observer.blocks

    def _come_up(self) -> None:
        scenario, lab = self._scenario, self._lab
        is_cold = scenario.world.cold
        lab.write_global(maintenance=scenario.maintenance or not is_cold)
        for host in lab.hosts.values():
            host.write_config()
            host.write_monitors()
            begins = self._hosts[host.name]
            failed = begins.failed_starts
            if failed.count:
                last_at = time.monotonic() + failed.last_s / lab.speed
                host.remember_failed_starts(failed.count, last_at)
            if host.name != scenario.engine.running_on:
                host.set_local_flag(is_set=begins.maintenance)
            if begins.powered:
                host.is_powered = True
                host.start_services()
                host.start_broker()
        self._await("the brokers serve", self._brokers_serve)
        self._start_engine()
        for host in lab.hosts.values():
            if host.is_powered and self._hosts[host.name].agent_running:
                host.start_agent()
        if is_cold:
            return
        self._await("the agents know each other", self._agents_know_each_other)
        if scenario.maintenance:
            return
        if scenario.engine.running_on is None:
            # The agents will start an engine at once, since they have looked for long enough.
            settled_at = time.monotonic() + lab.policy.settle_s
            self._await("the agents have settled", lambda: time.monotonic() >= settled_at)
            # One may order the start before all have been told.
            self.began_at = time.monotonic()
            self._end_the_warm_up()
        else:
            self._end_the_warm_up()
            self._await("the hosts have found their states", self._states_are_found)

    def _end_the_warm_up(self) -> None:
        """End the maintenance in which the agents came up; those that run look at once."""
        self._lab.write_global(maintenance=False)
        for host in self._powered():
            host.client.maintenance(everywhere=False)

    def _await(self, what: str, is_so: Callable[[], bool]) -> None:
        until = time.monotonic() + _READY_WITHIN_S
        while not is_so():
            for host in self._lab.hosts.values():
                host.check_daemons()
            if time.monotonic() > until:
                msg = (
                    f"after {_READY_WITHIN_S:g} s it is not so that {what}; see {self._lab.folder}"
                )
                raise HeFsmError(msg)
            time.sleep(_LOOK_S)

    def _powered(self) -> list[LabHost]:
        return [host for host in self._lab.hosts.values() if host.is_powered]

    def _brokers_serve(self) -> bool:
        try:
            for host in self._powered():
                host.client.join()
        except HeFsmError:
            return False
        return True

    def _start_engine(self) -> None:
        engine = self._scenario.engine
        if engine.running_on is None:
            return
        host = self._lab.hosts[engine.running_on]
        self._lab.start_engine(host)
        self._await("the engine runs", lambda: self._engine_is_good(host))

    def _engine_is_good(self, host: LabHost) -> bool:
        self._observer.look()
        found = [change for change in self._observer.truth.changes if change.kind == "health"]
        return host.vm() is not None and bool(found) and found[-1].word == "good"

    def _reports(self) -> dict[str, dict[str, object]]:
        reports = {}
        for host in self._powered():
            if self._hosts[host.name].agent_running:
                try:
                    reports[host.name] = host.client.last_report()
                except HeFsmError:
                    reports[host.name] = {}
        return reports

    def _agents_know_each_other(self) -> bool:
        reports = self._reports()
        ids = sorted(self._lab.hosts[name].host_id for name in reports)
        return all(report.get("alive") == ids for report in reports.values())

    def _states_are_found(self) -> bool:
        unsettled = {State.GLOBAL_MAINTENANCE.value, State.UNKNOWN.value, "EngineStarting", None}
        return all(report.get("state") not in unsettled for report in self._reports().values())
