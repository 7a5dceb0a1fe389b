"""Which changes of the leases between two polls wake the agent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Optional

import pytest

from he_fsm.runtime.broker.lease_watch import LeaseWatch
from he_fsm.runtime.ports import LeaseStatus
from he_fsm.snapshot import LeaseView, OwnerState
from he_fsm.testing.waiting import until

LIVE = LeaseView(owner=1, owner_state=OwnerState.LIVE)


class Leases:
    """Leases that show one thing after the other, a look each; the last one for ever."""

    def __init__(self, *views: Optional[LeaseView]) -> None:
        self.left = list(views)
        self.rings = 0
        self.looks_at_the_end = 0
        self.has_ended = threading.Event()

    def look(self) -> Optional[LeaseStatus]:
        view = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        if len(self.left) == 1:
            self.looks_at_the_end += 1
            # Two that show the same, and one more that would ring again.
            if self.looks_at_the_end > 4:
                self.has_ended.set()
        return None if view is None else LeaseStatus(view=view)

    def ring(self) -> None:
        self.rings += 1


@pytest.fixture
def watched() -> Iterator[list[LeaseWatch]]:
    watches: list[LeaseWatch] = []
    yield watches
    for watch in watches:
        watch.close()


@pytest.mark.parametrize(
    ("views", "rings"),
    [
        ((LIVE,), 0),
        ((LIVE, LeaseView()), 1),
        ((LIVE, LeaseView(), LIVE), 0),
        ((LIVE, LeaseView(), LeaseView(), LIVE), 2),
        ((LIVE, None), 1),
        ((LIVE, LeaseView(owner=1, owner_state=OwnerState.LIVE, dead_hosts=frozenset({3}))), 1),
        (
            (
                LeaseView(owner=1, owner_state=OwnerState.FAILING, free_at=70.0),
                LeaseView(owner=1, owner_state=OwnerState.FAILING, free_at=70.5),
            ),
            0,
        ),
    ],
    ids=[
        *("nothing new", "free", "free for one look", "free, and taken again", "unreadable"),
        *("another host is dead", "another estimate of the end"),
    ],
)
def test_news_that_two_looks_show_ring_once(
    views: tuple[Optional[LeaseView], ...], rings: int, watched: list[LeaseWatch]
) -> None:
    leases = Leases(*views)
    watch = LeaseWatch(leases.look, leases.ring, 0.01)
    watched.append(watch)
    watch.start()
    until(leases.has_ended.is_set)
    assert leases.rings == rings
