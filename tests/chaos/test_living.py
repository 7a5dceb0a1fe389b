"""What an init system, a plan and a look do for a campaign; no daemon is started."""

from __future__ import annotations

import itertools
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from he_fsm.chaos.living import Living
from he_fsm.chaos.run import _Campaign
from he_fsm.chaos.sizes import Size
from he_fsm.chaos.strike import EMBEDDED_KIT, ActiveFault, Fault, Unit
from he_fsm.lab.embedded import EmbeddedLab
from he_fsm.lab.host import LabHost
from he_fsm.lab.lab import Lab
from he_fsm.rehearse.lab_spec import spec_of
from tests.rehearse.scenes import scenario_of

DEADLINE_S = 10.0


@pytest.fixture
def lab(labs: Path) -> Iterator[Lab]:
    with tempfile.TemporaryDirectory(dir=labs) as name:
        found = EmbeddedLab(spec_of(scenario_of("hosts: 3"), 10.0), Path(name))
        yield found
        found.close()


class AtOnce(random.Random):
    """An init system by it starts at once what has ended."""

    def uniform(self, a: float, b: float) -> float:
        return min(a, b)


def living(lab: Lab, *units: Unit) -> Living:
    return Living(lab, units, AtOnce())


def test_what_is_planned_is_done_in_its_time(lab: Lab):
    found, done = living(lab), []
    found.later(0.5, lambda: done.append("first"), undoes=True)
    found.later(1.0, lambda: done.append("second"), undoes=False)
    assert found.live_until(lambda: len(done) == 2, DEADLINE_S)
    assert done == ["first", "second"]


def test_what_daemons_of_one_name_use_is_summed_up_over_a_time(lab: Lab):
    numbers = itertools.count(10)

    def counted(_: Lab) -> Iterator[tuple[str, Size]]:
        yield "agent", Size(40.0, 12, next(numbers))
        yield "agent", Size(41.0, 12, 10)

    assert living(lab).sizes(counted, 0.5) == {"agent": Size(41.0, 12, 10)}


def test_what_lasts_ends_with_the_strikes_and_a_watchdogs_time_stays(lab: Lab):
    found, done = living(lab), []
    found.later(1e6, lambda: done.append("storage is back"), undoes=True)
    found.later(1e6, lambda: done.append("the watchdog fires"), undoes=False)
    found.undo_all()
    assert done == ["storage is back"]
    found.undo_all()
    assert done == ["storage is back"]


def test_a_daemon_that_has_ended_is_started_again(lab: Lab):
    started: list[str] = []
    unit = Unit("daemon", lambda _: True, lambda host: started.append(host.name))
    lab.hosts["1"].is_powered = True
    assert living(lab, unit).live_until(lambda: bool(started), DEADLINE_S)
    assert started == ["1"]


@pytest.mark.parametrize(("is_powered", "is_frozen"), [(False, False), (True, True)])
def test_where_nothing_can_run_nothing_is_started(lab: Lab, is_powered: bool, is_frozen: bool):
    started: list[str] = []
    unit = Unit("daemon", lambda _: True, lambda host: started.append(host.name))
    host = lab.hosts["1"]
    host.is_powered, host.is_frozen = is_powered, is_frozen
    living(lab, unit).live_for(0.1)
    assert started == []


def test_where_no_engine_is_nothing_is_settled(lab: Lab):
    found = living(lab)
    assert not found.live_until(found.is_settled, 0.1)
    assert "the page is bad" in found.how_it_is()
    assert found.outages == []
    assert found.running() == []


def strikes_of(lab: Lab, seed: int, *units: Unit) -> list[tuple[str, str]]:
    """Return the first strikes of a campaign that breaks nothing; hosts always run."""
    found: list[tuple[str, str]] = []

    def fault(name: str) -> Fault:
        def strike(host: LabHost) -> ActiveFault:
            found.append((host.name, name))
            return ActiveFault(undo=lambda: None)

        return Fault(name, strike, 1.0)

    faults = tuple(fault(name) for name in ("agent", "broker", "vm"))
    kit = attrs.evolve(EMBEDDED_KIT, faults=faults, units=units, pause_max_s=0.1)
    for host in lab.hosts.values():
        host.is_powered = True
    _Campaign(scenario_of("hosts: 3"), lab, kit, seed)._strike_for(1.0)
    return found


def test_a_seed_repeats_hosts_and_faults_whatever_an_init_system_does(lab: Lab):
    unit = Unit("daemon", lambda _: True, lambda _: None)
    one, other = strikes_of(lab, 7), strikes_of(lab, 7, unit)
    both = min(len(one), len(other))
    assert both > 3
    assert one[:both] == other[:both]
    assert one[:both] != strikes_of(lab, 8)[:both]
