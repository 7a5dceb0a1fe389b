"""Who subscribed to what; source: vdsm 4.50.7, yajsonrpc/stompserver.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Optional, Protocol

import attrs

from he_fsm.runtime.vdsm.frames import MESSAGE, Frame

REQUESTS: Final = ("jms.topic.vdsm_requests", "jms.topic.vdsm_irs_requests")
RESPONSES: Final = "jms.topic.vdsm_responses"
EVENTS: Final = "jms.queue.events"


class Subscriber(Protocol):
    """One client's connection."""

    def send(self, frame: Frame) -> None:
        """Send a frame; nothing happens where the connection has ended."""


@attrs.frozen
class Subscription:
    """A client's, to one queue; the client chose its id, which its other ones have not."""

    subscriber: Subscriber
    queue: str
    name: str


class Queues:
    """All subscriptions of a server. A queue is there as long as somebody subscribes to it."""

    def __init__(self) -> None:
        self._by_queue: dict[str, list[Subscription]] = {}

    def add(self, subscription: Subscription) -> None:
        """Note a subscription."""
        self._by_queue.setdefault(subscription.queue, []).append(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        left = [each for each in self._by_queue[subscription.queue] if each != subscription]
        if left:
            self._by_queue[subscription.queue] = left
        else:
            del self._by_queue[subscription.queue]

    def publish(self, queue: Optional[str], body: bytes) -> bool:
        """Send a message to a queue's subscribers; False: there are none."""
        subscribers = self._by_queue.get(queue or "", ())
        for each in subscribers:
            headers = {
                "destination": each.queue,
                "content-type": "application/json",
                "subscription": each.name,
            }
            each.subscriber.send(Frame(MESSAGE, headers, body))
        return bool(subscribers)

    def forward(self, queue: str, headers: Mapping[str, str], body: bytes) -> bool:
        """
        Send on what a client sent, to the subscribers of a queue and of each one above it.

        `a.b.c` is below `a.b`, which is below `a`. False: there are no subscribers.
        """
        parts = queue.split(".")
        above = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
        subscribers = [each for name in above for each in self._by_queue.get(name, ())]
        for each in subscribers:
            each.subscriber.send(Frame(MESSAGE, {"subscription": each.name, **headers}, body))
        return bool(subscribers)
