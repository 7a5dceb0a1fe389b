"""A run that skips quiet times shows what one shows that steps through them, and remembers it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from he_fsm import parse_scenarios, simulate
from he_fsm.report.outcome import Outcome
from he_fsm.scenario.model import Scenario
from he_fsm.simulate.idle.skipper import Skipper

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from searching.checks import CHECKS, Check
from searching.draw import any_scenario, read, text_of
from searching.run import drawn, search, wrong_with
from searching.shrink import shrunk
from searching.skipping import differences

SKIPPING = CHECKS[0]
BLOCKS = 10


# A short version of `make search`, always the same.
@pytest.mark.parametrize("block", range(BLOCKS))
def test_skipping_changes_nothing_that_people_or_agents_see(block: int) -> None:
    for number in range(10 * block, 10 * block + 10):
        spec = drawn(SKIPPING, 1, number)
        assert wrong_with(SKIPPING, spec) == [], text_of(spec)


# The smallest of each kind that once showed a difference. What it was about is in its name.
ONCE_DIFFERENT = """
scenarios:
  - name: a torn first write, which nobody can have read
    hosts: [{id: 1, cpu_load: 0.9}, {id: 2}]
    engine: {running_on: 1}
    timeline:
      - {at: 360s, host: 2, power: reset}
      - {at: 477.7s, host: 2, slot: torn, for: 300s}
      - {at: 500s, engine: kill}
    until: 21m
  - name: agents that have just begun are frozen all at once
    hosts: 6
    engine: {running_on: 4}
    world: {cold: true}
    timeline:
      - {at: 284.5s, hosts: all, agent: freeze}
      - {at: 1600s, hosts: all, agent: thaw}
    until: 2500s
  - name: all look at one moment
    hosts: 3
    world: {cold: true, jitter: 0}
    timeline:
      - {at: 661s, hosts: all, maintenance: "on"}
      - {at: 1600s, hosts: all, maintenance: "off"}
    until: 2500s
  - name: two things happen at one moment
    hosts: 6
    engine: {running_on: 6}
    world: {loop: 0.5, cold: true, jitter: 0}
    timeline: [{at: 119s, engine: kill}, {at: 119s, host: 4, maintenance: "on"}]
    until: 119
  - name: a write is seen at the moment at which it is made
    hosts: 2
    world: {cold: true, storage_latency: 0}
    until: 1m
  - name: as many writes are under way as the latency has loops
    hosts: 4
    engine: {running_on: 2}
    world: {loop: 1, storage_latency: 4}
    timeline: [{at: 120s, hosts: [3, 4], slot: score 99999}]
    until: 139
  - name: the copy that is replayed is one that nobody has read yet
    hosts: 6
    engine: {running_on: 6}
    world: {storage_latency: 4}
    timeline: [{at: 6m, host: 4, slot: replay}]
    until: 380
  - name: a heartbeat is on its way when its slot goes back, and its host has written twice since
    hosts: 2
    engine: {running_on: null}
    world: {loop: 1, cold: true, storage_latency: 2.5}
    seed: 9374
    timeline: [{at: 7.2s, host: 1, slot: replay}]
    until: 9s
  - name: an old copy in the slot of everybody
    hosts: 3
    engine: {running_on: 1}
    world: {loop: 2, storage_latency: 0.3}
    timeline: [{at: 66s, hosts: all, slot: stale}]
    until: 90
  - name: slots are hidden until after their hosts would have been silent
    hosts: 2
    engine: {running_on: 2}
    world: {cold: true, jitter: 0, storage_latency: 0}
    timeline: [{at: 2695s, hosts: all, slot: score 1000, for: 60.1}]
    until: 2763
  - name: no broker answers for a while, and later a host is slow
    hosts: 4
    engine: {running_on: 3}
    world: {storage_latency: 0}
    timeline:
      - {at: 366s, hosts: all, broker: freeze}
      - {at: 376s, hosts: all, broker: thaw}
      - {at: 678s, host: 4, storage: slow 3s}
    until: 695
  - name: the host that claims the lease is not the one that gets it
    hosts: 3
    engine: {running_on: 2}
    world: {reboot: 200, vm_start: 0}
    timeline: [{at: 18s, engine: migrate 3}, {at: 120s, host: 3, power: reset}]
    until: 305
  - name: agents stop and begin at one moment, and others stop before that can be read
    hosts: 3
    engine: {running_on: 1}
    world: {io_timeout: 1, storage_latency: 2.5}
    timeline:
      - {at: 6m, host: 2, agent: stop}
      - {at: 6m, host: 2, agent: start}
      - {at: 361s, hosts: [1, 3], agent: stop}
    until: 378
  - name: what is under way when a host begins to be trusted
    hosts: 2
    engine: {running_on: 2}
    world: {loop: 0.5, storage_latency: 2.5}
    timeline: [{at: 7s, hosts: all, slot: zero}]
    until: 20
  - name: a record changes again before others have read it
    hosts: 2
    world: {loop: 1, storage_latency: 2.5}
    timeline: [{at: 120s, hosts: all, sanlock: kill}]
    until: 411
"""


@pytest.mark.parametrize("seed", range(1, 13))
@pytest.mark.parametrize(
    "scenario", parse_scenarios(ONCE_DIFFERENT, "once"), ids=lambda each: each.name
)
def test_skipping_changes_nothing_where_it_once_did(scenario: Scenario, seed: int) -> None:
    assert list(differences(scenario, seed)) == []


TORN = parse_scenarios(ONCE_DIFFERENT, "once")[0]


@pytest.mark.parametrize("seed", range(1, 13))
def test_a_host_whose_first_write_was_torn_is_not_counted_on(seed: int) -> None:
    assert started_on(simulate(TORN, seed=seed)) == ["1"]


def started_on(outcome: Outcome) -> list[str | None]:
    return [event.host for event in outcome.events if event.details.get("vm") == "starting"]


# The order of the looks of one moment.

IN_STEP = "scenarios: [{name: in-step, hosts: 3, world: {cold: true, jitter: 0}, until: 30s}]"


def test_hosts_look_at_one_moment_in_the_order_of_the_file_and_again_in_a_next_round() -> None:
    looks: list[dict[str, Any]] = []
    simulate(parse_scenarios(IN_STEP, "in-step")[0], trace=looks.append)
    # The agents have just begun: the first look leads to another state, which looks once more.
    assert [look["host"] for look in looks if look["t"] == 0.0] == ["1", "2", "3"] * 2
    assert [look["host"] for look in looks if look["t"] == 10.0] == ["1", "2", "3"]


# What is skipped is much, and what wakes a host is needed.

QUIET = "scenarios: [{name: quiet, hosts: 3, engine: {running_on: 1}, until: 1d}]"


@pytest.mark.once
@pytest.mark.interpreted
@pytest.mark.parametrize("hook", ["stir", "slot_changes", "leases_change", "end_irregular"])
def test_a_skipper_that_is_not_told_of_something_is_found_out(
    monkeypatch: pytest.MonkeyPatch, hook: str
) -> None:
    monkeypatch.setattr(Skipper, hook, lambda *_, **__: None)
    numbers = range(60)
    assert any(wrong_with(SKIPPING, drawn(SKIPPING, 1, number)) for number in numbers)


@pytest.mark.interpreted
def test_of_a_quiet_day_a_handful_of_looks_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    after_decision = Skipper.after_decision

    def counted(*arguments: Any) -> None:
        looks.append(arguments)
        after_decision(*arguments)

    monkeypatch.setattr(Skipper, "after_decision", counted)
    simulate(parse_scenarios(QUIET, "quiet")[0])
    assert len(looks) < 10


# The search itself.


def test_the_same_seed_and_number_draw_the_same_scenario() -> None:
    assert drawn(SKIPPING, 3, 5) == drawn(SKIPPING, 3, 5)
    assert drawn(SKIPPING, 3, 5) != drawn(SKIPPING, 3, 6)
    assert drawn(SKIPPING, 4, 5) != drawn(SKIPPING, 3, 5)


def test_what_is_printed_reads_back_as_what_was_drawn() -> None:
    for number in range(20):
        spec = drawn(SKIPPING, 1, number)
        assert parse_scenarios(text_of(spec), "drawn") == (read(spec),)


def test_all_numbers_are_searched_and_each_once() -> None:
    found = [each for each in search(1, 3, first=4, processes=1) if each.check == SKIPPING.name]
    assert sorted(each.number for each in found) == [4, 5, 6]
    assert [each.wrong for each in found] == [[]] * 3


def test_what_fails_is_made_smaller_and_fails_as_before() -> None:
    spec = drawn(SKIPPING, 1, 0)
    spec["timeline"] = [
        {"at": 1.5, "hosts": [1], "agent": "kill"},
        {"at": 3, "engine": "kill"},
    ]

    def fails(smaller: Any) -> bool:
        return any("engine" in entry for entry in smaller["timeline"])

    smaller = shrunk(spec, fails, 20.0)
    assert smaller["timeline"] == [{"at": 3, "engine": "kill"}]
    assert smaller["hosts"] == 1


def test_an_exception_is_found_as_well() -> None:
    def fail(_: Scenario) -> list[str]:
        msg = "a bug"
        raise KeyError(msg)

    broken = Check("broken", any_scenario, fail)
    wrong = wrong_with(broken, drawn(broken, 1, 0))
    assert len(wrong) == 1
    assert "KeyError: 'a bug'" in wrong[0]
