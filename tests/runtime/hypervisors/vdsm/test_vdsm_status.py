"""What vdsm says of a VM, as a state of the VM."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.runtime.hypervisors.vdsm.status import VmSeen, number, stats_of
from he_fsm.snapshot import VmState

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
FIELDS = ("status", "exitCode", "exitReason", "exitMessage", "pauseCode", "migrationProgress")


# Source: vdsm 4.50.7, `virt/vmstatus.py`; the words are exact.
@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("WaitForLaunch", VmState.STARTING),
        ("Restoring state", VmState.STARTING),
        ("Powering up", VmState.UP),
        ("Up", VmState.UP),
        ("RebootInProgress", VmState.UP),
        ("Paused", VmState.PAUSED),
        ("Saving State", VmState.PAUSED),
        ("Powering down", VmState.STOPPING),
        ("Migration Source", VmState.LEAVING),
        ("Migration Destination", VmState.ARRIVING),
        ("Down", VmState.ABSENT),
        ("Dreaming", VmState.UNKNOWN),
    ],
)
def test_each_status_is_a_state(status: str, state: VmState) -> None:
    seen = stats_of([{"status": status}])
    assert seen is not None
    assert seen.vm_state() is state
    assert seen.executes is (state in (VmState.UP, VmState.STOPPING))


def test_the_source_of_a_post_copy_migration_is_leaving() -> None:
    """In its last phase it says Paused, and the VM executes on the other host already."""
    seen = VmSeen.of({"status": "Paused", "pauseCode": "POSTCOPY"})
    assert seen is not None
    assert seen.vm_state() is VmState.LEAVING


@pytest.mark.parametrize("reason", [4, "4", 4.0])
def test_numbers_may_be_text(reason: Any) -> None:
    seen = VmSeen.of({"status": "Down", "exitCode": "0", "exitReason": reason})
    assert seen is not None
    assert (seen.exit_code, seen.exit_reason, seen.has_moved) == (0, 4, True)


@pytest.mark.parametrize("answer", [None, [], {}, [{}], [None], "Up", [{"status": 3}], True])
def test_an_answer_without_a_status_is_none(answer: Any) -> None:
    assert stats_of(answer) is None


@given(record=st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_whatever_the_fields_hold_is_no_error(record: dict[str, Any]) -> None:
    seen = stats_of([record])
    assert (seen is None) is not isinstance(record.get("status"), str)
    if seen is not None:
        assert isinstance(seen.detail(), str)
        assert seen.progress is None or 0.0 <= seen.progress <= 1.0
        assert isinstance(seen.vm_state(), VmState)


@given(value=JSON)
def test_a_number_is_one_or_none(value: Any) -> None:
    found = number(value)
    assert found is None or isinstance(found, float)
