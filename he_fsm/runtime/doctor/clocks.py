"""The wall clocks of the other hosts, as far as their records tell them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from he_fsm.metadata.record import HostRecord
from he_fsm.metadata.text import told_utc_s
from he_fsm.metadata.told import told_release
from he_fsm.policy import Policy
from he_fsm.runtime.ports import Finding
from he_fsm.words import span_text

# Below that nobody who compares logs is misled (seconds).
_NO_MATTER_S: Final = 5.0
# A record of a living host is at most so many loops old.
_LOOPS: Final = 2
_MEND: Final = "enable chrony or systemd-timesyncd on both"


def clock_findings(
    records: Iterable[HostRecord], alive: Collection[int], now_s: float, policy: Policy
) -> Iterator[Finding]:
    """
    Name the living hosts whose wall clock is another one than this host's.

    A record says when its writer wrote it, by the writer's clock, and is a few loops old at most:
    so the difference is known but for these. No decision depends on it.

    Args:
        records: what the whiteboard holds; records of oVirt's agents tell no time zone.
        alive: the ids of the hosts that are alive.
        now_s: this host's wall clock (seconds since 1970).
        policy: of all hosts.
    """
    old_s = _LOOPS * policy.loop_s
    for record in records:
        if record.host_id not in alive or not _is_ours(record):
            continue
        written = told_utc_s(record.text)
        if written is None:
            continue
        # Between what it is if the record is as old as it may be, and if it is new.
        lowest_s, highest_s = written - now_s, written - now_s + old_s + 1
        who = f"the wall clock of host {record.host_id} ({record.hostname})"
        if lowest_s > _NO_MATTER_S:
            yield _finding(f"{who} is at least {span_text(round(lowest_s))} ahead of this host's")
        elif highest_s < -_NO_MATTER_S:
            yield _finding(f"{who} is at least {span_text(round(-highest_s))} behind this host's")


def _is_ours(record: HostRecord) -> bool:
    return told_release(record.host_id, record.timestamp, record.text) is not None


def _finding(what: str) -> Finding:
    return Finding(what=what, mend=_MEND, is_fatal=False)
