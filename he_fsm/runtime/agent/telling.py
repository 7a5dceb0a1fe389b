"""Notifications: every edge and every alarm, kept until the broker accepts it."""

from __future__ import annotations

import collections
import logging
from collections.abc import Callable
from typing import Any, Optional

from he_fsm import tick
from he_fsm.effects import Alarm, Notify
from he_fsm.errors import HeFsmError, RefusedRequestError
from he_fsm.runtime.ports import Event
from he_fsm.step import Step

_log = logging.getLogger(__name__)
# What the report shows of the past.
_EVENTS_KEPT = 20
# The queue also holds edges that will not be notified: failed starts must not be pushed out.
_UNTOLD_MAX = 200


class Telling:
    """The events of one agent: those that wait for the broker, and the last ones for the report."""

    def __init__(self) -> None:
        """Begin without any."""
        self._untold: collections.deque[Event] = collections.deque(maxlen=_UNTOLD_MAX)
        self._last: collections.deque[dict[str, Any]] = collections.deque(maxlen=_EVENTS_KEPT)
        # The alarms that are raised, as of the last decision that looked for them.
        self._alarms: tuple[Alarm, ...] = ()

    def take(self, decision: Step, identity: tick.Identity, now: float) -> None:
        """Log what was decided, and keep it for people."""
        if decision.edge is None:
            self._alarms = decision.alarms
        else:
            self._take_edge(decision, identity, now)
        for effect in decision.effects:
            if isinstance(effect, Alarm):
                self._take_alarm(effect, identity, now)

    def _take_edge(self, decision: Step, identity: tick.Identity, now: float) -> None:
        edge = decision.edge
        if edge is None:
            return
        source, to = edge.source.value, edge.to.value
        _log.info("%s -> %s: %s", source, to, decision.reason)
        # An administrator may want to be told of an edge that the decision does not tell.
        is_told = any(isinstance(effect, Notify) for effect in decision.effects)
        self._last.append(
            {
                "at": now,
                "source": source,
                "to": to,
                "edge": edge.name,
                "why": decision.reason,
                "told": is_told,
            }
        )
        self._untold.append(
            Event(
                subject=f"{source}-{to}",
                host_id=identity.host_id,
                hostname=identity.hostname,
                source=source,
                to=to,
                edge=edge.name,
                why=decision.reason,
                notifies=is_told,
            )
        )

    def _take_alarm(self, alarm: Alarm, identity: tick.Identity, now: float) -> None:
        subject = f"{'Alarm over' if alarm.is_over else 'Alarm'}: {alarm.name}"
        _log.log(logging.INFO if alarm.is_over else logging.WARNING, "%s: %s", subject, alarm.text)
        self._last.append(
            {"at": now, "alarm": alarm.name, "is_over": alarm.is_over, "why": alarm.text}
        )
        self._untold.append(
            Event(
                subject=subject,
                host_id=identity.host_id,
                hostname=identity.hostname,
                alarm=alarm.name,
                told=alarm.told,
                is_over=alarm.is_over,
                why=alarm.text,
            )
        )

    def hand_over(self, tell: Callable[[Event], None]) -> Optional[HeFsmError]:
        """
        Tell what waits, the oldest first; return what is in the way of the rest.

        An event that is refused would be refused again: it is dropped, and the others are told.
        """
        while self._untold:
            event = self._untold[0]
            try:
                tell(event)
            except RefusedRequestError as error:
                _log.error("nobody is told of %r: the broker refuses it: %s", event.subject, error)
            except HeFsmError as error:
                return error
            self._untold.popleft()
        return None

    @property
    def waits(self) -> bool:
        """Whether there is something that was not told yet."""
        return bool(self._untold)

    def events(self, now: float) -> list[dict[str, Any]]:
        """Return the last events for the report, each with its age."""
        return [{**event, "age_s": round(now - event["at"], 3)} for event in self._last]

    def alarms(self, decision: Step, now: float) -> list[dict[str, Any]]:
        """Return the alarms that are raised, for the report; *decision*: the last one."""
        since = {raised.name: raised.since for raised in decision.memory.alarms}
        return [
            {
                "name": alarm.name,
                "text": alarm.text,
                "for_s": round(now - since[alarm.name], 3),
            }
            for alarm in self._alarms
            if alarm.name in since
        ]
