"""Hosts whose watchdogs take different times: the longer one is waited for."""

from __future__ import annotations

import importlib

import pytest

from he_fsm import simulate
from tests.simulate.plays import play, scenario_of, texts

observing = importlib.import_module("he_fsm.observe")
# A daemon that hangs under the VM on host 1: the agent ends the VM in the last moment.
HANGS = "{at: 60s, host: 1, sanlock: freeze}"
OWNER_60 = {"hosts": "[{id: 1}, {id: 2, watchdog_time: 10s}, {id: 3, watchdog_time: 10s}]"}
OWNER_10 = {"hosts": "[{id: 1, watchdog_time: 10s}, {id: 2}, {id: 3}]"}


def test_a_host_with_a_short_watchdog_waits_for_the_owners_longer_one() -> None:
    play(
        HANGS,
        # 8 x io_timeout + 60 s after a renewal between 40 s and 60 s: not 8 x io_timeout + 10 s.
        "{from: 60s, to: 169s, engine: good, engine_on: 1, running: 1}",
        "{from: 0s, to: 179s, total: {starts: 0}}",
        "{after: 179s, by: 211s, engine_on: [2, 3], engine: starting}",
        "{from: 0s, running: <= 1}",
        **OWNER_60,
    )


def test_without_that_rule_two_engines_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "for_the_longer", lambda leases, *_: leases)
    outcome = simulate(scenario_of(HANGS, **OWNER_60))
    assert {failure.expected for failure in outcome.failures} == {"rule two-engines", "rule lease"}


def test_a_host_with_the_longer_watchdog_waits_for_that() -> None:
    play(
        HANGS,
        # The watchdog of host 1 fires 8 x io_timeout + 8.3 s after the last renewal.
        "{after: 60s, by: 150s, running: 0}",
        "{from: 0s, to: 179s, total: {starts: 0}}",
        "{after: 179s, by: 211s, engine_on: [2, 3], engine: starting}",
        **OWNER_10,
    )


def test_hosts_that_differ_are_told_of_by_one_of_them() -> None:
    outcome = play("", "{from: 0s, engine: good, engine_on: 1}", **OWNER_60)
    told = [text for text in texts(outcome, "notification") if "watchdogs" in text]
    assert told
    assert {event.host for event in outcome.events if event.text() == told[0]} == {"1"}
    assert "this host's 60 s, host 2's 10 s, host 3's 10 s" in told[0]
