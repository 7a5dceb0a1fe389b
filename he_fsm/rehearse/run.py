"""Rehearsing a scenario: a lab is set up, faults strike, what is seen is judged."""

from __future__ import annotations

import functools
import heapq
import itertools
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Optional

from he_fsm.errors import HeFsmError
from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.rehearse import faults
from he_fsm.rehearse.backends import EMBEDDED, Backend
from he_fsm.rehearse.host import LabHost
from he_fsm.rehearse.lab import Lab
from he_fsm.rehearse.observe import Observer
from he_fsm.report.outcome import HostView, Outcome
from he_fsm.scenario.judge import Failure, Judge
from he_fsm.scenario.model import Scenario
from he_fsm.states.names import State

# How often everything is looked at, in real seconds.
_LOOK_S = 0.02
# How long the daemons may take to come up and know each other, in real seconds.
_READY_WITHIN_S = 60.0
# As the simulator has it: a watchdog's last pet may be this share of its time old.
_WATCHDOG_SHARE = 5 / 6
Watcher = Callable[["Rehearsal"], None]


def rehearse(
    scenario: Scenario,
    *,
    backend: Backend = EMBEDDED,
    speed: float = 1.0,
    keep: Optional[Path] = None,
    watch: Optional[Watcher] = None,
) -> Outcome:
    """
    Run one scenario on real daemons of this machine.

    Args:
        backend: what plays leases and VM.
        speed: loops, boots and time-outs are all shorter by this factor.
        keep: leave the hosts' folders (configurations, logs, whiteboard) in this one.
        watch: called many times a second, to show what happens.

    Raises:
        HeFsmError: the scenario asks for what this back end can't do, or the lab does not come up.
    """
    reasons = [*backend.missing(speed), *backend.cannot(scenario, speed)]
    if reasons:
        msg = f"the {backend.name} back end can't do this: " + "; ".join(reasons)
        raise HeFsmError(msg)
    folder = keep or Path(tempfile.mkdtemp(prefix="he-fsm-rehearse-"))
    folder.mkdir(parents=True, exist_ok=True)
    run_folder = folder / scenario.name if keep else folder
    run_folder.mkdir(parents=True, exist_ok=True)
    if keep and any(run_folder.iterdir()):
        msg = f"{run_folder} is not empty"
        raise HeFsmError(msg)
    try:
        lab = backend.make(scenario, speed, run_folder)
        try:
            lab.set_up()
            return Rehearsal(lab, watch).run()
        finally:
            lab.close()
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


class Rehearsal:
    """One run of one scenario in a lab."""

    def __init__(self, lab: Lab, watch: Optional[Watcher] = None) -> None:
        """Prepare; nothing is started yet."""
        self.lab = lab
        self.scenario = lab.scenario
        self.judge = Judge(lab.scenario)
        self.copies: dict[int, bytes] = {}
        self._torn: dict[int, int] = {}
        self._watch = watch
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = itertools.count()
        # The time of what happens right now by plan.
        self._due: Optional[float] = None
        self.observer = Observer(lab, self.judge, time.monotonic())

    # Before time 0.

    def _warm_up(self) -> None:
        """Let the agents run, and know each other, before the scenario's time 0."""
        scenario, lab = self.scenario, self.lab
        is_cold = scenario.world.cold
        lab.write_global(maintenance=scenario.maintenance or not is_cold)
        for host in lab.hosts.values():
            host.write_config()
            host.write_monitors()
            failed = host.config.failed_starts
            if failed.count:
                last_at = time.monotonic() + failed.last_s / lab.speed
                host.remember_failed_starts(failed.count, last_at)
            if host.name != scenario.engine.running_on:
                host.set_local_flag(is_set=host.config.maintenance)
            if host.config.powered:
                host.is_powered = True
                host.start_services()
                host.start_broker()
        self._await("the brokers serve", self._brokers_serve)
        self._start_engine()
        for host in lab.hosts.values():
            if host.is_powered and host.config.agent_running:
                host.start_agent()
        if is_cold:
            return
        self._await("the agents know each other", self._agents_know_each_other)
        if scenario.maintenance:
            return
        if scenario.engine.running_on is None:
            # They will start an engine at once, as agents do that have looked for long enough.
            settled_at = time.monotonic() + lab.policy.settle_s
            self._await("the agents have settled", lambda: time.monotonic() >= settled_at)
            self._end_the_warm_up()
        else:
            self._end_the_warm_up()
            self._await("the hosts have found their states", self._states_are_found)

    def _end_the_warm_up(self) -> None:
        """End the maintenance in which the agents came up; those that run look at once."""
        self.lab.write_global(maintenance=False)
        for host in self._powered():
            host.client.maintenance(everywhere=False)

    def _await(self, what: str, is_so: Callable[[], bool]) -> None:
        until = time.monotonic() + _READY_WITHIN_S
        while not is_so():
            for host in self.lab.hosts.values():
                host.check_daemons()
            if time.monotonic() > until:
                msg = f"after {_READY_WITHIN_S:g} s it is not so that {what}; see {self.lab.folder}"
                raise HeFsmError(msg)
            time.sleep(_LOOK_S)

    def _powered(self) -> list[LabHost]:
        return [host for host in self.lab.hosts.values() if host.is_powered]

    def _brokers_serve(self) -> bool:
        try:
            for host in self._powered():
                host.client.join()
        except HeFsmError:
            return False
        return True

    def _start_engine(self) -> None:
        engine = self.scenario.engine
        if engine.running_on is None:
            return
        host = self.lab.hosts[engine.running_on]
        self.lab.start_engine(host)
        self._await("the engine runs", lambda: self._engine_is_good(host))

    def _engine_is_good(self, host: LabHost) -> bool:
        self.observer.look()
        found = [change for change in self.observer.truth.changes if change.kind == "health"]
        return host.vm() is not None and bool(found) and found[-1].word == "good"

    def _reports(self) -> dict[str, dict[str, object]]:
        reports = {}
        for host in self._powered():
            if host.config.agent_running:
                try:
                    reports[host.name] = host.client.last_report()
                except HeFsmError:
                    reports[host.name] = {}
        return reports

    def _agents_know_each_other(self) -> bool:
        reports = self._reports()
        ids = sorted(self.lab.hosts[name].config.id for name in reports)
        return all(report.get("alive") == ids for report in reports.values())

    def _states_are_found(self) -> bool:
        unsettled = {State.GLOBAL_MAINTENANCE.value, State.UNKNOWN.value, "EngineStarting", None}
        return all(report.get("state") not in unsettled for report in self._reports().values())

    # The run.

    def run(self) -> Outcome:
        """Run the scenario and judge it."""
        self._warm_up()
        self.judge = Judge(self.scenario)
        before = self.observer
        self.observer = Observer(self.lab, self.judge, time.monotonic())
        self.observer.blocks = before.blocks
        self.observer.on_write = self._written
        scenario = self.scenario
        if not (scenario.world.cold or scenario.maintenance or scenario.engine.running_on):
            # The agents start an engine as soon as they may: that is time 0.
            self.observer.arrive_in_states()
        self._begin()
        self.observer.look()
        start = self._views()
        while self._step():
            if self._watch is not None:
                self._watch(self)
            time.sleep(_LOOK_S)
        self.judge.settle(self.scenario.until)
        return self._outcome(start)

    def _begin(self) -> None:
        """Let everything of time 0 happen: the engine's troubles, flags, the file's entries."""
        engine = self.scenario.engine
        if engine.running_on is not None:
            host = self.lab.hosts[engine.running_on]
            if host.config.maintenance:
                self.set_local(host, is_set=True)
            if engine.health == "bad":
                host.order_engine("hang")
            if engine.paused:
                host.order_engine("pause")
        for index, entry in enumerate(self.scenario.timeline):
            if not entry.since:
                self._plan(index, 0.0)

    def _plan(self, index: int, since: float) -> None:
        entry = self.scenario.timeline[index]
        for moment in entry.moments(since, self.scenario.until):
            self.at(moment, functools.partial(faults.apply, self, entry))

    def at(self, t: float, action: Callable[[], None]) -> None:
        """Let something happen at a time of the scenario."""
        heapq.heappush(self._queue, (t, next(self._sequence), action))

    def _step(self) -> bool:
        """Let what is due happen, and look; False: the scenario is over."""
        for host in self.lab.hosts.values():
            if host.was_reset:
                self._reset(host)
        now = self.observer.time()
        while self._queue and self._queue[0][0] <= now:
            self._due, _, act = heapq.heappop(self._queue)
            act()
        # What a fault does at once is so at its own time, however late this look is.
        t = self.observer.look(self._due)
        self._due = None
        if t >= self.scenario.until:
            return False
        for index in self.judge.settle(t):
            self._plan(index, t)
        return True

    def now(self) -> float:
        """Give the scenario's time: that of the plan for what happens by it."""
        return self.observer.time() if self._due is None else self._due

    def note(self, host: Optional[LabHost], text: str) -> None:
        """Write a fault down."""
        name = None if host is None else host.name
        self.observer.note(self.now(), name, "fault", text)

    # Hosts.

    def boot(self, host: LabHost) -> None:
        """Boot a host: its daemons run when the reboot's time is over."""
        boot = host.boot

        def booted() -> None:
            if host.boot == boot and not host.is_powered:
                host.power_on()

        self.at(self.now() + self.scenario.world.reboot_s, booted)

    def freeze(self, host: LabHost) -> None:
        """Stop everything on a host; its watchdog, or else this rehearsal, resets it in time."""
        if not host.is_powered or host.is_frozen:
            return
        host.is_frozen = True
        host.stop_all()
        self.reset_in_time(host, lambda: host.is_frozen)

    def reset_in_time(self, host: LabHost, is_due: Callable[[], bool]) -> None:
        """Reset a host whose leases are renewed no more, if that is due then; a watchdog does."""
        if not host.config.watchdog or host.has_watchdog:
            return
        policy = self.scenario.policy
        fires_s = policy.lease_kill_s + policy.watchdog_s * _WATCHDOG_SHARE
        boot = host.boot
        # The last renewal is not older than a renewal's period.
        fires_s -= 2 * policy.io_timeout_s

        def fires() -> None:
            if host.boot == boot and is_due():
                self._reset(host)

        self.at(self.now() + fires_s, fires)

    def _reset(self, host: LabHost) -> None:
        """Do what follows when a watchdog resets a host."""
        self.judge.count(self.observer.time(), "resets", host.name)
        self.note(host, "the watchdog resets the host")
        host.power_off()
        self.boot(host)

    def thaw(self, host: LabHost) -> None:
        """Let everything on a host go on."""
        if host.is_frozen:
            host.is_frozen = False
            host.go_on()

    def set_local(self, host: LabHost, *, is_set: bool) -> None:
        """Set a host's local flag by its broker; in a thread, for storage may hang."""

        def ask() -> None:
            try:
                host.client.maintenance(local=is_set)
            except HeFsmError:
                return

        if host.is_powered and host.broker_process is not None:
            threading.Thread(target=ask, daemon=True).start()
        else:
            host.set_local_flag(is_set=is_set)

    # Damage that lasts.

    def tear_next(self, slot: int, arriving_bytes: int) -> None:
        """Let only the first bytes of the slot's next write arrive."""
        self._torn[slot] = arriving_bytes

    def _written(self, slot: int, before: bytes, block: bytes) -> None:
        count = self._torn.pop(slot, None)
        if count is not None:
            old = before.ljust(SLOT_BYTES, b"\0")
            self.lab.write_block(slot, block[:count] + old[count:])

    # What came out.

    def _views(self) -> tuple[HostView, ...]:
        views = []
        for name, host in self.lab.hosts.items():
            kept = self.observer.blocks.get(host.config.id, [])
            process = host.agent_process
            runs = process is not None and process.poll() is None
            shown = self.observer.host(name)
            views.append(
                HostView(
                    name=name,
                    host_id=host.config.id,
                    hostname=host.config.hostname,
                    state=shown.state,
                    score=shown.score,
                    writes=runs and not host.is_frozen,
                    block=kept[-1] if kept else b"",
                )
            )
        return tuple(views)

    def _outcome(self, start: tuple[HostView, ...]) -> Outcome:
        scenario = self.scenario
        verdict = self.judge.finish(scenario.until)
        broken = tuple(
            Failure(place=scenario.place, expected="rule two-engines", seen=line, at=None)
            for line in self.lab.doubles()
        )
        changes = self.observer.truth.changes
        engine = [change for change in changes if change.kind == "engine"]
        last = engine[-1] if engine else None
        return Outcome(
            scenario=scenario,
            seed=scenario.seed,
            failures=broken + verdict.failures,
            totals=verdict.totals,
            events=tuple(sorted(self.observer.events, key=lambda event: event.t)),
            changes=tuple(changes),
            engine_on=None if last is None else last.host,
            engine="down" if last is None or last.word is None else last.word,
            versions=max(host.version for host in self.lab.hosts.values()),
            start=start,
            end=self._views(),
        )
