"""Hosts whose watchdogs take different times, in the checker."""

from __future__ import annotations

import pytest

from he_fsm.check.counterexample import counterexample
from he_fsm.check.properties import Property
from he_fsm.check.scale import LOOP_S, of_each_host
from he_fsm.policy import TALK
from tests.check import wrong
from tests.check.exploring import broken, explored, judged

# The engine runs on host 1.
OWNER_60, OWNER_10 = (60.0, 10.0), (10.0, 60.0)


def test_a_vm_may_run_longer_than_the_shorter_watchdog_takes() -> None:
    long, short = of_each_host(TALK, 2, OWNER_60)
    assert short.lease_expiry_s + 2 * LOOP_S <= long.lease_kill_s + long.kill_grace_s
    assert len(set(of_each_host(TALK, 3, ()))) == len(set(of_each_host(TALK, 2, (9.0, 9.0)))) == 1


@pytest.mark.parametrize("watchdogs", [OWNER_60, OWNER_10])
def test_hosts_that_differ_run_one_engine_and_get_it_back(watchdogs: tuple[float, ...]) -> None:
    found = explored("cut", "crash", "sanlock", watchdogs=watchdogs)
    assert found.is_whole
    assert broken(found) == set()


def test_without_that_rule_two_engines_run(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong.waits_for_its_own_watchdog_alone(monkeypatch)
    found = explored("cut", watchdogs=OWNER_60)
    verdict = judged(found)[Property.TWO_ENGINES]
    assert verdict.held is False
    made = counterexample(verdict, found.bounds)
    assert made is not None
    hosts = made.text.split("hosts:")[1].split("engine:")[0]
    assert "watchdog_time: 50s" in hosts
    assert "watchdog_time: 10s" in hosts
