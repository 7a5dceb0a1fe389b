"""The fingerprint of a policy, and who has another one."""

from __future__ import annotations

import attrs
import pytest

from he_fsm import OVIRT, TALK, Policy
from he_fsm.metadata import EngineStatus, HostRecord, decode_slot, encode_slot
from he_fsm.metadata.policy_print import policy_print, with_another_policy

DOWN = EngineStatus("down", "bad", "unknown", "vm not running on this host")


def told(host_id: int, policy: str, *, stopped: bool = False) -> HostRecord:
    record = HostRecord(
        host_id=host_id, timestamp=7, score=1, engine=DOWN, hostname="a", stopped=stopped
    )
    found = decode_slot(host_id, encode_slot(record, policy_print=policy))
    assert isinstance(found, HostRecord)
    return found


@pytest.mark.parametrize("field", [each.name for each in attrs.fields(Policy)])
def test_every_number_counts_but_the_watchdogs_which_is_told_apart(field: str) -> None:
    # The copy is not checked: some changes alone are unsafe.
    changed = attrs.evolve(TALK)
    value = getattr(TALK, field)
    other = not value if isinstance(value, bool) else 7 if value is None else None
    if other is None:
        other = value + "x" if isinstance(value, str) else value + 1
    object.__setattr__(changed, field, other)
    is_same = field in ("name", "watchdog_s")
    assert (policy_print(changed) == policy_print(TALK)) is is_same


def test_the_fingerprint_is_the_same_for_the_same_numbers() -> None:
    # Hosts of one release compare it: it must not change from process to process.
    assert policy_print(TALK) == policy_print(Policy(name="mine", loop_s=10))
    assert policy_print(Policy(loop_s=10)) == policy_print(Policy(loop_s=10.0))
    assert len({policy_print(TALK), policy_print(OVIRT), policy_print(Policy(loop_s=9.0))}) == 3


def test_who_has_another_policy_is_named_by_id() -> None:
    ours, theirs = policy_print(TALK), policy_print(OVIRT)
    records = [
        told(1, ours),
        told(2, theirs),
        told(3, ""),
        told(4, "0123abcd"),
        told(5, theirs, stopped=True),
    ]
    assert with_another_policy(records, TALK) == [2, 4]
    assert with_another_policy(records, OVIRT) == [1, 4]
