"""A cluster of real sanlock daemons and real VMs that is broken on purpose, and watched."""

from __future__ import annotations

import contextlib
import random
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import attrs

from he_fsm import Scenario, parse_scenarios
from he_fsm.chaos.living import Living
from he_fsm.chaos.sizes import Size
from he_fsm.chaos.strike import Kit
from he_fsm.chaos.strike_sanlock import SANLOCK_KIT
from he_fsm.chaos.summary import bound
from he_fsm.errors import HeFsmError
from he_fsm.lab.qemu.lab import QemuLab
from he_fsm.lab.sanlock.host import SanlockHost
from he_fsm.lab.sanlock.lab import SanlockLab
from he_fsm.lab.spec import LabSpec
from he_fsm.rehearse.lab_spec import spec_of
from he_fsm.runtime.hypervisors.vm_file import Phase, VmRecord
from he_fsm.runtime.leases.sanlock.daemon.command import SanlockDaemon

_STOPPED = re.compile(
    r"the VM was stopped for ([0-9.]+) s at most, by QEMU's figures for ([0-9.]+)"
)

# For so long it is looked at what daemons use (seconds).
_MEASURED_S = 4.0


class BigLab(QemuLab):
    """A lab whose guest has as much memory as the limits are for, and boots."""

    memory_mib = 256


@attrs.frozen
class Started:
    """A VM that executes again: where, and when since the fault (seconds on the clock)."""

    host: SanlockHost
    executes_s: float
    healthy_s: float


@attrs.frozen
class Crash:
    """
    A host crash, and how long after the lease could be had the VM executed.

    `after_lease_s`: since the first of the other hosts could have it. Each host's sanlock gives it
    8 x io_timeout + watchdog after it saw the last renewal, and nobody gets it earlier.
    `after_renewal_s`: since 8 x io_timeout + watchdog after that renewal, and 2 x io_timeout.
    sanlock goes by whole seconds: all may have seen it a second later than that.
    """

    started: Started
    after_lease_s: float
    after_renewal_s: float
    refused: int


@attrs.frozen
class Move:
    """
    A live migration, in seconds on the clock.

    `ordered_s`: from the source agent's order until the VM executes on the other host; `whole_s`:
    from the moment at which it was seen to leave. `said` is what the source's agent logged.
    """

    ordered_s: float
    whole_s: float
    said: str

    @property
    def stopped(self) -> tuple[float, float]:
        """For how long the VM was stopped, by the source agent's figure and by QEMU's."""
        found = _STOPPED.search(self.said)
        assert found is not None, "the agent did not say for how long the VM was stopped"
        return float(found[1]), float(found[2])


class Cluster:
    """One lab, and what is done to it; each deed returns when all is well again."""

    def __init__(self, scenario: Scenario, lab: SanlockLab, kit: Kit) -> None:
        """Use a lab that runs; its init system is the kit's."""
        self.lab = lab
        self._kit = kit
        self._living = Living(lab, kit.units, random.Random(1))  # noqa: S311 - no secret
        self._bound_s = bound(scenario, lab.speed)
        self.settle()

    def settle(self) -> None:
        """Wait until one engine is up, and every agent knows."""
        self._await("the cluster is well", self._living.is_settled)

    def kill_vm(self) -> Started:
        """Kill the VM's process; its host starts it again, or another does."""
        host = self._engine_host()
        record = host.vm()
        assert record is not None
        began = self._now()
        host.kill_vm()
        started = self._started(began, record)
        self.settle()
        return started

    def crash_host(self) -> Crash:
        """Cut the power of the engine's host; it is booted when the VM runs elsewhere."""
        host = self._engine_host()
        record = host.vm()
        assert record is not None
        clock_began = self._clock_began(host)
        began = self._now()
        host.power_off()
        others = [each for each in self.lab.hosts.values() if each is not host]
        # Late enough for the last renewal to have been seen, long before the lease is free.
        policy = self.lab.policy
        self._live_for(policy.lease_kill_s)
        free_at = min(self._free_at(each, host.host_id) for each in others)
        renewed_at = clock_began + self._last_renewal(others[0], host.host_id) / self.lab.speed
        started = self._started(began, record)
        executed_at = began + started.executes_s
        refused = sum(_refused(each, began) for each in others)
        host.power_on()
        self._living.changed_at = time.monotonic()
        self.settle()
        expires_at = renewed_at + policy.lease_expiry_s + 2 * policy.io_timeout_s
        return Crash(started, executed_at - free_at, executed_at - expires_at, refused)

    def move(self) -> Move:
        """Take the gateway from the engine's host until the VM has moved, and time that."""
        host = self._engine_host()
        before = host.vm()
        assert before is not None
        log = host.folder / "agent.log"
        told = log.stat().st_size
        began = self._now()
        host.write_monitors(gateway=0.0)
        leaving_at = 0.0

        def has_moved() -> bool:
            nonlocal leaving_at
            record = host.last_record()
            if record is not None and record.pid == before.pid and record.leaving_since:
                leaving_at = record.leaving_since
            return any(each.pid != before.pid for _, each in self._executing())

        self._await("the VM has moved", has_moved)
        ((_, there),) = [each for each in self._executing() if each[1].pid != before.pid]
        ordered_at = _ordered(host, began)
        host.write_monitors(gateway=1.0)
        self._living.changed_at = time.monotonic()
        self.settle()
        with log.open("rb") as file:
            file.seek(told)
            said = file.read().decode()
        return Move(there.since - ordered_at, there.since - leaving_at, said)

    def sizes(self) -> dict[str, Size]:
        """Return what daemons use, by their names."""
        counted = self._kit.counted
        return {} if counted is None else self._living.sizes(counted, _MEASURED_S)

    def end(self) -> list[str]:
        """End the daemons and the VM; say what is left, and what the guests' witness saw."""
        return [*self._living.torn_slots(), *self._living.end(), *self.lab.doubles()]

    def _now(self) -> float:
        """Begin a deed: what agents said before it counts no more."""
        self._living.changed_at = time.monotonic()
        return self._living.changed_at

    def _await(self, what: str, is_so: Callable[[], bool]) -> None:
        if not self._living.live_until(is_so, self._bound_s):
            msg = f"after {self._bound_s:.0f} s not: {what}; {self._living.how_it_is()}"
            raise HeFsmError(msg)

    def _live_for(self, seconds: float) -> None:
        self._living.live_for(seconds)

    def _executing(self) -> list[tuple[SanlockHost, VmRecord]]:
        records = [(host, host.vm()) for host in self.lab.hosts.values()]
        return [(h, r) for h, r in records if r is not None and r.phase is Phase.RUNNING]

    def _engine_host(self) -> SanlockHost:
        ((host, _),) = self._executing()
        return host

    def _started(self, began: float, before: VmRecord) -> Started:
        """Wait until another VM executes, and until its page is good."""

        def found() -> list[tuple[SanlockHost, VmRecord]]:
            return [each for each in self._executing() if each[1].pid != before.pid]

        self._await("the VM executes again", lambda: bool(found()))
        ((host, record),) = found()
        self._await(
            "its page is good",
            lambda: (now := host.vm()) is not None and host.page_is_good(now),
        )
        return Started(host, record.since - began, time.monotonic() - began)

    def _daemon(self, host: SanlockHost) -> SanlockDaemon:
        settings = self.lab.leases(
            host.storage, host.folder / "sanlock", host.state_dir / "engine.lock"
        )
        return SanlockDaemon(settings)

    def _on_our_clock(self, daemon: SanlockDaemon, moment: Callable[[], int]) -> float:
        """
        Return a moment of a daemon's clock on the monotonic one.

        The daemon counts whole seconds: its clock is read when it goes on to the next one.
        """
        before = daemon.status().now
        while (now := daemon.status().now) == before:
            pass
        ticked_at = time.monotonic()
        return ticked_at + (moment() - now) / self.lab.speed

    def _clock_began(self, host: SanlockHost) -> float:
        """Return when a host's daemon's clock showed 0."""
        return self._on_our_clock(self._daemon(host), lambda: 0)

    def _last_renewal(self, witness: SanlockHost, dead_id: int) -> int:
        """Return the last renewal of a dead host that is on the storage, on its daemon's clock."""
        return self._daemon(witness).hosts()[dead_id].timestamp

    def _free_at(self, host: SanlockHost, dead_id: int) -> float:
        """Return when the dead host's leases can be had, by the last renewal that *host* saw."""
        daemon = self._daemon(host)

        def expires() -> int:
            seen = daemon.hosts()[dead_id]
            return seen.last_live + 8 * seen.io_timeout + daemon.status().watchdog

        return self._on_our_clock(daemon, expires)


def _ordered(host: SanlockHost, since: float) -> float:
    """Return when a host's agent ordered a migration, since a time."""
    events = host.client.last_report()["events"]
    return float(
        next(e["at"] for e in events if e["at"] >= since and e.get("to") == "EngineMigratingAway")
    )


def _refused(host: SanlockHost, since: float) -> int:
    """Return how often a host's start was refused, or failed, since a time."""
    try:
        events = host.client.last_report()["events"]
    except HeFsmError:
        return 0
    counted = {"lease_held", "start_failed"}
    return sum(event.get("edge") in counted and event["at"] >= since for event in events)


@contextlib.contextmanager
def cluster(
    scenario: str,
    speed: float,
    make: Callable[[LabSpec, Path], SanlockLab] = QemuLab,
    kit: Kit = SANLOCK_KIT,
) -> Iterator[Cluster]:
    """
    Return a cluster whose engine is up.

    Raises:
        HeFsmError: it does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="he-fsm-bench-") as name:
        (found,) = parse_scenarios(scenario, "benchmark")
        lab = make(spec_of(found, speed), Path(name))
        try:
            lab.set_up()
            lab.start()
            yield Cluster(found, lab, kit)
        finally:
            lab.close()
        left = list(lab.left_behind())
        assert left == [], left
