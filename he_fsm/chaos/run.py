"""
Random faults on real daemons: whatever fails, one engine is up in the end and never were two.

A campaign strikes random hosts at random moments with what its back end's kit has: processes are
killed or stopped, storage is cut, hosts lose their power. What an init system would start again is
started again, and what a watchdog would do is done when it would. Hosts, faults and moments come
from a seed. What the processes are doing then does not: a failure need not come again.
"""

from __future__ import annotations

import itertools
import logging
import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Optional

import attrs

from he_fsm.chaos.living import Living
from he_fsm.chaos.sizes import Growth, Size
from he_fsm.chaos.strike import EMBEDDED_KIT, Fault, Kit
from he_fsm.chaos.summary import Summary, bound
from he_fsm.errors import HeFsmError
from he_fsm.lab.host import LabHost
from he_fsm.lab.lab import Lab
from he_fsm.rehearse.lab_spec import spec_of
from he_fsm.scenario import Scenario, parse_scenarios

_log = logging.getLogger(__name__)
# Of the scenario: between the faults of one strike, at most.
_APART_MAX_S = 2.0
# As the simulator has it: a watchdog's last pet may be this share of its time old.
_WATCHDOG_SHARE = 5 / 6
# For so long it is looked at what daemons use (seconds).
_MEASURED_S = 3.0
WATCHDOG = "reset by the watchdog"


def campaign(
    seed: int,
    for_s: float,
    *,
    speed: float = 10.0,
    kit: Kit = EMBEDDED_KIT,
    keep: Optional[Path] = None,
) -> Summary:
    """
    Strike for *for_s* real seconds, then see whether everything comes back.

    Args:
        seed: what hosts, faults and moments come from.
        for_s: how long to strike.
        speed: as of a rehearsal.
        kit: what can be done to the hosts.
        keep: leave the hosts' folders here, with their logs.

    Raises:
        HeFsmError: the cluster does not even come up, or this machine lacks something for it.
    """
    (scenario,) = parse_scenarios(kit.scenario, "chaos")
    reasons = [*kit.backend.missing(speed), *kit.backend.cannot(scenario, speed)]
    if reasons:
        msg = f"the {kit.backend.name} back end can't do this: " + "; ".join(reasons)
        raise HeFsmError(msg)
    folder = keep.absolute() if keep else Path(tempfile.mkdtemp(prefix="he-fsm-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        msg = f"{folder} is not empty"
        raise HeFsmError(msg)
    lab = kit.backend.make(spec_of(scenario, speed), folder)
    try:
        try:
            lab.set_up()
            summary = _Campaign(scenario, lab, kit, seed).run(for_s)
        finally:
            lab.close()
        return attrs.evolve(summary, problems=(*summary.problems, *lab.left_behind()))
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


class _Campaign:
    """One run in one lab."""

    def __init__(self, scenario: Scenario, lab: Lab, kit: Kit, seed: int) -> None:
        self._scenario = scenario
        self._lab = lab
        self._kit = kit
        self._seed = seed
        # How often an init system draws from its source is a matter of time, so it has its own.
        self._living = Living(lab, kit.units, _source(seed))
        self._living.on_reset = self._reset
        self._faults: Counter[str] = Counter()

    def run(self, for_s: float) -> Summary:
        lab = self._lab
        lab.start()
        bound_s = bound(self._scenario, lab.speed)
        if not self._living.live_until(self._living.is_settled, bound_s):
            how = self._living.how_it_is()
            msg = f"after {bound_s:.0f} s the engine is not up, before any fault: {how}"
            raise HeFsmError(msg)
        before = self._sizes()
        self._living.outages.clear()
        strikes = self._strike_for(for_s)
        self._living.undo_all()
        last_fault = time.monotonic()
        has_settled = self._living.live_until(self._living.is_settled, bound_s)
        settled_s = time.monotonic() - last_fault
        problems = [] if has_settled else [f"after {bound_s:.1f} s: {self._living.how_it_is()}"]
        growths = self._growths(before)
        problems.extend(f"{growth}: LEAKS" for growth in growths if growth.leaks)
        problems.extend(self._living.torn_slots())
        problems.extend(self._kit.damage(lab))
        problems.extend(self._living.end())
        seen_double = lab.doubles()
        return Summary(
            seed=self._seed,
            strikes=strikes,
            faults=dict(self._faults),
            recoveries=len(self._living.outages),
            longest_outage_s=max(self._living.outages, default=0.0),
            settled_s=settled_s,
            bound_s=bound_s,
            doubles=len(seen_double),
            problems=(*problems, *seen_double),
            growths=growths,
        )

    def _sizes(self) -> dict[str, Size]:
        counted = self._kit.counted
        return {} if counted is None else self._living.sizes(counted, _MEASURED_S)

    def _growths(self, before: dict[str, Size]) -> tuple[Growth, ...]:
        after = self._sizes()
        names = [name for name in before if name in after]
        return tuple(Growth(name, before[name], after[name]) for name in names)

    # Faults.

    def _strike_for(self, for_s: float) -> int:
        """Return every combination of faults in turn, in random order, again and again."""
        ends_at = time.monotonic() + for_s
        combinations: list[tuple[Fault, ...]] = []
        strikes = 0
        shuffling = _source(self._seed)
        while time.monotonic() < ends_at:
            # What a strike draws depends on what it finds; the next strike must not depend on that.
            source = _source(self._seed, strikes)
            pause_s = source.uniform(0, self._kit.pause_max_s) / self._lab.speed
            if not combinations:
                sizes = range(1, self._kit.at_once + 1)
                combinations = [
                    c for n in sizes for c in itertools.combinations(self._kit.faults, n)
                ]
                shuffling.shuffle(combinations)
            self._strike(combinations.pop(), source)
            strikes += 1
            self._living.live_for(min(pause_s, ends_at - time.monotonic()))
        return strikes

    def _strike(self, faults: tuple[Fault, ...], source: random.Random) -> None:
        hosts = [host for host in self._lab.hosts.values() if _can_be_struck(host)]
        if not hosts:
            return
        host = source.choice(hosts)
        if source.random() < 0.5:
            # Half of the time where the engine is: that is where it matters most.
            host = next((each for each in hosts if each.vm() is not None), host)
        for fault in source.sample(faults, len(faults)):
            lasts_s = source.uniform(0, fault.lasts_max_s)
            if _can_be_struck(host):
                self._strike_one(host, fault, lasts_s)
            self._living.live_for(source.uniform(0, _APART_MAX_S) / self._lab.speed)

    def _strike_one(self, host: LabHost, fault: Fault, lasts_s: float) -> None:
        blow = fault.strike(host)
        if blow is None:
            return
        boot = host.boot
        self._living.changed_at = time.monotonic()
        _log.info("host %s: %s", host.name, fault.name)
        self._faults[fault.name] += 1
        undo, is_unsafe = blow.undo, blow.is_unsafe

        def undone() -> None:
            if undo is not None and (blow.outlasts_boot or host.boot == boot):
                _log.info("host %s: %s is over", host.name, fault.name)
                undo()
                self._living.changed_at = time.monotonic()

        def watchdog_fires() -> None:
            if is_unsafe is not None and host.boot == boot and is_unsafe():
                self._reset(host)

        if undo is not None:
            self._living.later(lasts_s, undone, undoes=True)
        # Where there is a real one, it does it by itself.
        if is_unsafe is not None and not host.has_watchdog:
            self._living.later(
                _watchdog_fires_after_s(self._scenario), watchdog_fires, undoes=False
            )

    def _reset(self, host: LabHost) -> None:
        _log.info("host %s: the watchdog resets it", host.name)
        self._faults[WATCHDOG] += 1
        host.power_off()
        self._living.changed_at = time.monotonic()
        boot = host.boot

        def booted() -> None:
            if host.boot == boot and not host.is_powered:
                host.power_on()

        self._living.later(self._scenario.world.vm_boot_s, booted, undoes=True)


def _source(*seeds: int) -> random.Random:
    return random.Random("-".join(map(str, seeds)))  # noqa: S311 - no secret


def _can_be_struck(host: LabHost) -> bool:
    return host.is_powered and not host.is_frozen


def _watchdog_fires_after_s(scenario: Scenario) -> float:
    """Return when it fires; the last renewal is not older than a renewal's period."""
    policy = scenario.policy
    fires_s = policy.lease_kill_s + policy.watchdog_s * _WATCHDOG_SHARE
    return fires_s - 2 * policy.io_timeout_s
