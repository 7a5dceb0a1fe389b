"""What an observer remembers of one host."""

from __future__ import annotations

from typing import Optional

import attrs

from he_fsm.metadata.record import HostRecord


@attrs.define(eq=False)
class HostSeen:
    """What was last seen of one host."""

    state: Optional[str] = None
    score: Optional[int] = None
    pid: Optional[int] = None
    word: Optional[str] = None
    # The last process here that waited for a VM to arrive.
    arriving_pid: Optional[int] = None
    failed_migrations: int = 0
    # The host to which its VM was last seen to move.
    leaving_to: Optional[int] = None
    # A VM of another host was seen to have moved here, before it was seen here.
    is_sent_here: bool = False
    last_event_at: float = 0.0
    record: Optional[HostRecord] = None
    record_since: float = 0.0
    problems: dict[str, str] = attrs.field(factory=dict)
    was_good: bool = False
    # Its agent has not yet reached the state that the facts demand.
    is_arriving: bool = False
