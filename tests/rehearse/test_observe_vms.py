"""A VM that is found running has come from another host, or was started: which, the records say."""

from __future__ import annotations

from collections import Counter
from typing import Any, Optional

import attrs
import pytest

from he_fsm.rehearse.host_seen import HostSeen
from he_fsm.rehearse.observe_vms import STARTING_UP, VmObserver
from he_fsm.runtime.hypervisors.vm_file import Phase, VmRecord

Records = dict[str, Optional[VmRecord]]


@attrs.define
class Host:
    """One host of the lab, whose records the test says."""

    name: str
    host_id: int
    # What its file says, whether the VM is still there or not.
    left: Optional[VmRecord] = None
    has_lease: bool = True

    def last_record(self) -> Optional[VmRecord]:
        return self.left

    def lease_is_taken(self) -> bool:
        return self.has_lease

    def is_paused(self, _record: VmRecord) -> bool:
        return False


class Lab:
    def __init__(self) -> None:
        self.hosts = {name: Host(name, host_id) for host_id, name in enumerate("abc", 1)}

    def name_of(self, host_id: int) -> str:
        return next(name for name, host in self.hosts.items() if host.host_id == host_id)


class Observed:
    """An observer of three hosts, and what it has counted and written down."""

    def __init__(self) -> None:
        self.lab = Lab()
        self.counted: Counter[tuple[str, str]] = Counter()
        self.notes: list[str] = []
        seen = {name: HostSeen() for name in self.lab.hosts}
        lab: Any = self.lab
        self._observer = VmObserver(lab, self, seen, self._note)  # type: ignore[arg-type]
        self._is_first = True

    def count(self, _t: float, kind: str, host: str) -> None:
        self.counted[kind, host] += 1

    def _note(self, _t: float, host: Optional[str], _kind: str, text: str, **_: object) -> None:
        self.notes.append(f"{host}: {text}")

    def look(self, *, is_good: bool = False, **records: VmRecord) -> dict[str, str]:
        """Look at the VMs; a host keeps its record, if none is given, as one that has left."""
        found: Records = {name: records.get(name) for name in self.lab.hosts}
        for name, record in records.items():
            self.lab.hosts[name].left = record
        is_first, self._is_first = self._is_first, False
        return self._observer.observe(1.0, found, is_good=is_good, is_first=is_first)


@pytest.fixture
def observed() -> Observed:
    """An observer that has seen three hosts without a VM."""
    made = Observed()
    made.look()
    return made


def vm(pid: int, phase: Phase = Phase.RUNNING, to: Optional[int] = None) -> VmRecord:
    return VmRecord(pid=pid, started_ticks=1, phase=phase, port=1, since=0.0, leaving_to=to)


def test_a_vm_that_is_there_from_the_beginning_was_not_started() -> None:
    observed = Observed()
    assert observed.look(a=vm(7)) == {"a": "bad"}
    assert observed.counted == {}


def test_a_start_that_is_seen_is_counted_once(observed: Observed) -> None:
    assert observed.look(a=vm(7, Phase.STARTING)) == {"a": STARTING_UP}
    assert observed.look(a=vm(7)) == {"a": "starting"}
    assert observed.look(a=vm(7), is_good=True) == {"a": "good"}
    assert observed.counted == {("starts", "a"): 1}


def test_a_start_without_the_lease_is_none(observed: Observed) -> None:
    observed.lab.hosts["a"].has_lease = False
    assert observed.look(a=vm(7, Phase.STARTING)) == {}
    assert observed.counted == {}


def test_a_start_that_is_over_before_it_is_seen_is_counted(observed: Observed) -> None:
    assert observed.look(a=vm(7)) == {"a": "starting"}
    assert observed.counted == {("starts", "a"): 1}


@pytest.mark.parametrize("to", [None, 3])
def test_a_start_is_counted_though_another_hosts_vm_has_left_for_elsewhere(
    observed: Observed, to: Optional[int]
) -> None:
    observed.lab.hosts["a"].left = vm(7, Phase.MIGRATED, to)
    observed.look(b=vm(8))
    assert observed.counted == {("starts", "b"): 1}


def test_a_vm_that_another_host_is_sending_was_not_started(observed: Observed) -> None:
    observed.look(a=vm(7))
    observed.look(a=vm(7, to=2))
    observed.look(a=vm(7, to=2), b=vm(8))
    assert observed.counted == {("starts", "a"): 1}
    observed.look(b=vm(8), is_good=True)
    assert observed.counted == {("starts", "a"): 1, ("migrations", "a"): 1}


def test_a_vm_whose_source_keeps_a_record_of_it_was_not_started(observed: Observed) -> None:
    observed.lab.hosts["a"].left = vm(7, Phase.MIGRATED, 2)
    assert observed.look(b=vm(8)) == {"b": "bad"}
    assert observed.counted == {}


def test_a_vm_that_left_before_it_is_seen_at_its_target_was_not_started(
    observed: Observed,
) -> None:
    observed.look(a=vm(7))
    observed.look(a=vm(7, to=2))
    observed.lab.hosts["a"].left = vm(7, Phase.MIGRATED, 2)
    assert observed.look() == {}
    # The source's record is overwritten by what comes after it.
    observed.lab.hosts["a"].left = None
    observed.look(b=vm(8))
    assert observed.counted == {("starts", "a"): 1, ("migrations", "a"): 1}


def test_a_start_after_a_migration_is_counted(observed: Observed) -> None:
    observed.look(a=vm(7))
    observed.look(a=vm(7, to=2))
    observed.lab.hosts["a"].left = vm(7, Phase.MIGRATED, 2)
    observed.look()
    observed.lab.hosts["a"].left = None
    observed.look(b=vm(8))
    observed.look()
    observed.look(b=vm(9))
    assert observed.counted["starts", "b"] == 1


def test_a_start_that_is_seen_is_one_though_a_migration_was_under_way(observed: Observed) -> None:
    observed.look(a=vm(7))
    observed.look(a=vm(7, to=2))
    observed.look(a=vm(7, to=2), b=vm(8, Phase.STARTING))
    assert observed.counted["starts", "b"] == 1


def test_a_start_is_counted_though_another_host_lost_its_power_while_it_sent_its_vm(
    observed: Observed,
) -> None:
    observed.look(a=vm(7))
    observed.look(a=vm(7, to=2), b=vm(8, Phase.ARRIVING))
    # What its file said of the VM when the power was lost stays there.
    observed.look(b=vm(8, Phase.ARRIVING))
    observed.look()
    observed.look(b=vm(9))
    assert observed.counted == {("starts", "a"): 1, ("starts", "b"): 1}


def test_a_vm_that_arrived_before_its_source_lost_its_power_was_not_started(
    observed: Observed,
) -> None:
    observed.look(a=vm(7))
    observed.look(a=vm(7, to=2), b=vm(8, Phase.ARRIVING))
    observed.look(b=vm(8, Phase.ARRIVING))
    assert observed.look(b=vm(8)) == {"b": "bad"}
    assert observed.counted == {("starts", "a"): 1}


def test_a_vm_whose_source_is_seen_after_it_was_not_started(observed: Observed) -> None:
    observed.look(c=vm(7))
    observed.look(c=vm(7, to=2), b=vm(8))
    assert observed.counted == {("starts", "c"): 1}
