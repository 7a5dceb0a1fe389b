"""Rehearsing a scenario: a lab is set up, faults strike, what is seen is judged."""

from __future__ import annotations

import functools
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Optional

from he_fsm.errors import HeFsmError
from he_fsm.lab.lab import Lab
from he_fsm.rehearse import faults
from he_fsm.rehearse.backends import EMBEDDED, Backend
from he_fsm.rehearse.lab_spec import spec_of
from he_fsm.rehearse.lateness import Lateness
from he_fsm.rehearse.observe import Blocks, Observer
from he_fsm.rehearse.stage import Stage
from he_fsm.rehearse.warm_up import WarmUp
from he_fsm.report.outcome import HostView, Outcome
from he_fsm.scenario.judging.judge import Failure, Judge
from he_fsm.scenario.model import Scenario

# How often everything is looked at, in real seconds.
_LOOK_S = 0.02
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
        lab = backend.make(spec_of(scenario, speed), run_folder)
        try:
            lab.set_up()
            warm_up = WarmUp(scenario, lab)
            blocks = warm_up.run()
            return Rehearsal(scenario, lab, blocks, watch, warm_up.began_at).run()
        finally:
            lab.close()
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


class Rehearsal:
    """One run of one scenario in a lab that has come up."""

    def __init__(
        self,
        scenario: Scenario,
        lab: Lab,
        blocks: Blocks,
        watch: Optional[Watcher],
        began_at: Optional[float] = None,
    ) -> None:
        """Begin the scenario: its time 0 is *began_at*, or now; *blocks* were written before."""
        self.scenario = scenario
        self.lab = lab
        self._judge = Judge(scenario)
        if began_at is None:
            began_at = time.monotonic()
        self.observer = Observer(lab, self._judge, began_at, scenario.engine.running_on, blocks)
        self._stage = Stage(scenario, lab, self._judge, self.observer)
        self._watch = watch
        self._lateness = Lateness(_LOOK_S)

    def run(self) -> Outcome:
        """Run the scenario and judge it."""
        scenario = self.scenario
        if not (scenario.world.cold or scenario.maintenance or scenario.engine.running_on):
            # The agents start an engine as soon as they may: that is time 0.
            self.observer.arrive_in_states()
        self._begin()
        self.observer.look()
        start = self._views()
        while self._step():
            self._lateness.look()
            if self._watch is not None:
                self._watch(self)
            time.sleep(_LOOK_S)
        self._judge.settle(self.scenario.until)
        return self._outcome(start)

    def _begin(self) -> None:
        """Carry out everything of time 0: the engine's troubles, flags, the file's entries."""
        engine = self.scenario.engine
        if engine.running_on is not None:
            host = self.lab.hosts[engine.running_on]
            begins = next(each for each in self.scenario.hosts if each.name == host.name)
            if begins.maintenance:
                self._stage.set_local(host, is_set=True)
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
            self._stage.at(moment, functools.partial(faults.apply, self._stage, entry))

    def _step(self) -> bool:
        """Carry out what is due, and observe; return False if the scenario is over."""
        for host in self.lab.hosts.values():
            if host.was_reset:
                self._stage.reset(host)
            self._stage.shutdowns.look(host)
        # What a fault does at once counts from the fault's own time, however late this look is.
        t = self.observer.look(self._stage.act())
        if t >= self.scenario.until:
            return False
        for index in self._judge.settle(t):
            self._plan(index, t)
        return True

    # The outcome.

    def _views(self) -> tuple[HostView, ...]:
        views = []
        for name, host in self.lab.hosts.items():
            kept = self.observer.blocks.get(host.host_id, [])
            process = host.agent_process
            runs = process is not None and process.poll() is None
            shown = self.observer.host(name)
            views.append(
                HostView(
                    name=name,
                    host_id=host.host_id,
                    hostname=host.hostname,
                    state=shown.state,
                    score=shown.score,
                    writes=runs and not host.is_frozen,
                    block=kept[-1] if kept else b"",
                )
            )
        return tuple(views)

    def _outcome(self, start: tuple[HostView, ...]) -> Outcome:
        scenario = self.scenario
        verdict = self._judge.finish(scenario.until)
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
            late_s=self._lateness.worst_s * self.lab.speed,
        )
