"""
The fingerprint of a policy: what a host's record tells of its policy, for people to compare.

No decision reads it. It says no more than whether two hosts go by the same numbers.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final

import attrs

from he_fsm.metadata.record import HostRecord
from he_fsm.metadata.told import told_policy_print
from he_fsm.policy import Policy

# What a policy is called changes nothing, and the watchdog's time has a line of its own.
_APART: Final = frozenset(("name", "watchdog_s"))


def policy_print(policy: Policy) -> str:
    """
    Return a policy's fingerprint, 8 hexadecimal digits: the same for the same numbers.

    A release with another field has another fingerprint for the same configuration.
    """
    parts = []
    for field in attrs.fields(type(policy)):
        value = getattr(policy, field.name)
        if field.name not in _APART:
            # 10 and 10.0 are the same number.
            number = float(value) if isinstance(value, (int, float)) else value
            parts.append(f"{field.name}={number!r}")
    text = "\n".join(sorted(parts))
    return f"{zlib.crc32(text.encode()):08x}"


def with_another_policy(records: Iterable[HostRecord], policy: Policy) -> list[int]:
    """
    Return the ids of the hosts whose records tell another policy, in the order of the records.

    A host that tells none (an agent of oVirt, an older release) or that has stopped is not named.
    """
    own = policy_print(policy)
    found = []
    for record in records:
        told = told_policy_print(record.host_id, record.timestamp, record.text)
        if told is not None and told != own and not record.stopped:
            found.append(record.host_id)
    return found
