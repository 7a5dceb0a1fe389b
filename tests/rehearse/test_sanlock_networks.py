"""
On the sanlock back end networks and watchdogs are real: links go down, and hosts are reset.

Times have some ten seconds of slack, which is one real second at this speed.
"""

from __future__ import annotations

import http.client
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from he_fsm.lab import netns, watchdog
from he_fsm.lab.guest.cache import GuestError
from he_fsm.lab.guest.kernel import Kernel
from he_fsm.lab.network import GATEWAY
from he_fsm.lab.sanlock import site
from he_fsm.lab.sanlock.host import SanlockHost
from he_fsm.lab.sanlock.needs import missing
from he_fsm.rehearse.backends import SANLOCK
from he_fsm.rehearse.compare import compare
from he_fsm.rehearse.run import Rehearsal, rehearse
from he_fsm.report.outcome import Outcome
from he_fsm.runtime.leases.sanlock.watching.daemon_watch import NO_WATCHDOG
from he_fsm.runtime.monitors.probes.ping import Ping
from he_fsm.simulate import simulate
from tests.rehearse import real_scenes
from tests.rehearse.scenes import scenario_of
from tests.rehearse.telling import REAL_SPEED, alone, rehearsed_as_predicted, told

SPEED = REAL_SPEED
WHY_NOT = "; ".join(missing(SPEED)) or netns.why_not() or watchdog.why_not()
pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.sanlock,
    pytest.mark.qemu,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here"),
]
Strike = Callable[[SanlockHost], None]


def namespaces() -> list[Path]:
    """Return those of this process's labs."""
    return list(Path("/run/netns").glob(f"he-fsm-{os.getpid()}-*"))


def host_of(rehearsal: Rehearsal, name: str) -> SanlockHost:
    host = rehearsal.lab.hosts[name]
    assert isinstance(host, SanlockHost)
    return host


def at_times(acts: dict[float, Callable[[Rehearsal], None]]) -> Callable[[Rehearsal], None]:
    """Return what does something once at each of some times of the scenario."""
    left = dict(acts)

    def watch(rehearsal: Rehearsal) -> None:
        for t in [t for t in left if t <= rehearsal.observer.time()]:
            left.pop(t)(rehearsal)

    return watch


# Networks.


def test_a_target_whose_source_loses_its_power_does_not_wait_for_ever():
    """The source's packets are dropped: its kernel's farewell does not reach the target."""
    scenario = scenario_of(real_scenes.SOURCE_SILENT)
    assert rehearsed_as_predicted(scenario, SPEED, backend=SANLOCK, in_order=False) == ""


LINK_DOWN = """
    world: {io_timeout: 2s, vm_boot: 5s, migration: 5s}
    hosts: 2
    engine: {running_on: 1}
    timeline:
      - {at: 10s, host: 1, set: {gateway: 0}}
      - {at: 100s, host: 1, set: {gateway: 1}}
    until: 140s
    expect:
      # Its page is good on its own host, whatever the link does.
      - {from: 0s, to: 35s, engine_on: 1, engine: good}
      - {after: 35s, by: 98s, engine_on: 2, engine: good, score: {1: 1400, 2: 2400}}
      - {after: 100s, by: 125s, score: {1: 2400}}
      - {by: 138s, state: {1: EngineDown, 2: EngineUp}}
      - {total: {starts: 0, migrations: 1, failed_migrations: 0, downtime: "<= 15s"}}
    """


def test_a_link_that_is_down_takes_the_gateway_and_the_vm_moves():
    scenario = scenario_of(LINK_DOWN)
    predicted = simulate(scenario)
    assert predicted.passed, told(predicted)
    answers: list[bool] = []

    def ping(rehearsal: Rehearsal) -> None:
        host = host_of(rehearsal, "1")
        with netns.inside(host.network.pages.namespace):
            answers.append(Ping(GATEWAY, 0.3).is_answered())
        # The lab's own sight of the VM is not by that link.
        assert host.network.pages.health() == http.client.OK

    watch = at_times({5: ping, 15: ping})
    seen = rehearse(scenario, backend=SANLOCK, speed=SPEED, watch=watch)
    assert seen.passed, told(seen)
    assert alone(compare(predicted, seen)) == [], told(seen)
    assert answers == [True, False]


BRIDGE_LOST = """
    world: {io_timeout: 2s, vm_boot: 5s}
    hosts: [{id: 1, gateway: 0.5}, {id: 2, watchdog: false}]
    engine: {running_on: 2}
    timeline:
      - {at: 5s, host: 2, set: {bridge: 0}}
      - {at: 60s, host: 2, set: {bridge: 1}}
    until: 85s
    expect:
      # Of half a gateway there is only a file.
      - {by: 5s, score: {1: 1900, 2: 2400}}
      - {after: 5s, by: 30s, score: {2: 1600}}
      - {after: 60s, by: 82s, score: {2: 2400}}
      - {from: 0s, engine_on: 2, engine: good}
      - {total: {starts: 0, migrations: 0, resets: 0}}
    """


@pytest.mark.long
def test_a_lost_bridge_is_seen_and_half_a_gateway_is_played(tmp_path: Path):
    scenario = scenario_of(BRIDGE_LOST)
    assert simulate(scenario).passed
    seen = rehearse(scenario, backend=SANLOCK, speed=SPEED, keep=tmp_path)
    assert seen.passed, told(seen)
    # Who has a watchdog, and who has none, is known to sanlock and to the agents.
    said = [
        (tmp_path / "test" / "hosts" / name / "agent.log").read_text(encoding="utf-8")
        for name in ("1", "2")
    ]
    assert [NO_WATCHDOG in each for each in said] == [False, True]


STORAGE_BACK = """
    world: {io_timeout: 2s, vm_boot: 5s}
    hosts: 2
    engine: {running_on: 2}
    timeline:
      - {at: 5s, host: 1, storage: cut}
      - {at: 40s, host: 1, storage: restore}
    until: 110s
    expect:
      - {after: 10s, by: 39s, state: {1: Unknown}}
      - {after: 41s, by: 105s, state: {1: EngineDown}, alive: {2: [1, 2]}}
      - {from: 0s, engine_on: 2, engine: good}
      # A host that has nothing to lose lets go of its id in time.
      - {total: {starts: 0, resets: 0}}
    """


def test_storage_that_is_mounted_again_is_seen_by_daemons_with_mounts_of_their_own():
    scenario = scenario_of(STORAGE_BACK)
    assert rehearsed_as_predicted(scenario, SPEED, backend=SANLOCK, in_order=False) == ""


@pytest.mark.long
def test_without_namespaces_gateways_bridges_and_resets_are_played(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(netns, "why_not", lambda: "Operation not permitted")
    monkeypatch.setattr(watchdog, "why_not", lambda: "Operation not permitted")
    found: list[tuple[bool, bool]] = []

    def look(rehearsal: Rehearsal) -> None:
        host = host_of(rehearsal, "1")
        found.append((host.has_watchdog, bool(namespaces())))

    watch = at_times({10: look})
    seen = rehearse(scenario_of(BRIDGE_LOST), backend=SANLOCK, speed=SPEED, watch=watch)
    assert seen.passed, told(seen)
    assert found == [(False, False)]


def test_a_lab_that_does_not_come_up_leaves_nothing(monkeypatch: pytest.MonkeyPatch):
    made: list[bool] = []

    def no_kernel() -> Kernel:
        made.append(bool(namespaces()))
        msg = "there is no kernel"
        raise GuestError(msg)

    monkeypatch.setattr(site, "find_kernel", no_kernel)
    with pytest.raises(GuestError):
        rehearse(scenario_of(BRIDGE_LOST), backend=SANLOCK, speed=SPEED)
    # The network was there by then; the fixture sees that it is no more.
    assert made == [True]


# Watchdogs.

RESET = """
    world: {io_timeout: 2s, vm_start: 2s, vm_boot: 5s, reboot: 20s}
    hosts: 2
    engine: {running_on: 1}
    until: 180s
    expect:
      - {from: 73s, to: 73s, running: 0, lease: 1}
      - {after: 72s, by: 105s, engine_on: 2, engine: starting}
      - {after: 72s, by: 120s, engine_on: 2, engine: good}
      - {by: 178s, state: {1: EngineDown}}
      - {total: {starts: 1, resets: 1}}
    """


def freezes(host: SanlockHost) -> None:
    host.is_frozen = True
    host.stop_all()


def loses_sanlock_and_agent(host: SanlockHost) -> None:
    """Now only a watchdog can end the VM in time."""
    host.kill_agent()
    host.kill_sanlock()


def hangs_without_agent(host: SanlockHost) -> None:
    host.kill_agent()
    assert host.daemon is not None
    host.daemon.process.send_signal(signal.SIGSTOP)


@pytest.mark.parametrize(
    "strike",
    [
        freezes,
        pytest.param(loses_sanlock_and_agent, marks=pytest.mark.long),
        pytest.param(hangs_without_agent, marks=pytest.mark.long),
    ],
)
def test_a_host_that_can_not_renew_is_reset_before_another_starts_the_vm(strike: Strike):
    pids: list[int] = []

    def struck(rehearsal: Rehearsal) -> None:
        host = host_of(rehearsal, "1")
        vm = host.vm()
        assert vm is not None
        pids.append(vm.pid)
        strike(host)

    def still_here(rehearsal: Rehearsal) -> None:
        # It was not ended by anybody else.
        os.kill(pids[0], 0)
        assert host_of(rehearsal, "1").vm() is not None

    watch = at_times({5: struck, 50: still_here})
    seen = rehearse(scenario_of(RESET), backend=SANLOCK, speed=SPEED, watch=watch)
    assert seen.passed, told(seen)
    assert time_of(seen, "fault", "the watchdog resets the host") < time_of(
        seen, "vm", "lease taken, the VM starts"
    )


def time_of(outcome: Outcome, kind: str, text: str) -> float:
    return next(e.t for e in outcome.events if e.kind == kind and e.details["text"] == text)
