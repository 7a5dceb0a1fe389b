"""
A cluster that is not there: one day in short, played by the simulator, again and again.

Everything that is shown of it goes the way of a real one, from the looks of host 1.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Iterator
from typing import Any, Callable, Final, Optional

import attrs

from he_fsm.dashboard.sources.of_look import LookReader
from he_fsm.dashboard.sources.source import Moment
from he_fsm.history.book import Recorded
from he_fsm.history.look import Look, Session
from he_fsm.metadata import GlobalBlock, HostRecord, SlotContent, Whiteboard
from he_fsm.policy import Policy
from he_fsm.runtime.config import Config
from he_fsm.scenario import parse_scenarios
from he_fsm.simulate import simulate

_VIEWER: Final = "1"
# Ends as it began: healthy, with the engine on host 1.
_STORY: Final = """
scenarios:
  - name: demo
    about: The gateway of host 1 fails, a VM dies, host 3 is looked after, and all is well again.
    hosts:
      - {id: 1, hostname: alder.example.com}
      - {id: 2, hostname: birch.example.com}
      - {id: 3, hostname: cedar.example.com, cpu_load: 0.35}
    engine: {running_on: 1}
    timeline:
      - {at: 90s, host: 1, set: {gateway: 0}}
      - {at: 6m, host: 1, set: {gateway: 1}}
      - {at: 9m, engine: kill}
      - {at: 13m, host: 3, maintenance: on}
      - {at: 17m, host: 3, maintenance: off}
      - {at: 20m, engine: migrate 1}
    until: 25m
"""
_SEED: Final = 4
# Of a host that has not looked yet.
_FIRST_TEXT: Final = "state=EngineDown\nscore-why=all is well"


class DemoSource:
    """Shows the story by the clock."""

    title = "Demo: a simulated cluster"
    kind = "demo"
    config: Optional[Config] = None

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Play the story once; *clock*: seconds since 1970, at which the first round begins."""
        self._clock = clock
        self._looks: list[Recorded] = []
        # What each host last wrote for people, by its id.
        self._texts: dict[int, str] = {}
        (scenario,) = parse_scenarios(_STORY, "the demo")
        simulate(scenario, seed=_SEED, record=self._keep)
        first = self._looks[0].look.seen.facts.now
        # Seconds since the story's beginning, of each look.
        self._times = [each.look.seen.facts.now - first for each in self._looks]
        self._length_s = scenario.until
        self._began_at = clock()
        self.policy: Optional[Policy] = scenario.policy
        self._reader = LookReader()
        # The round of the story and the look that the reader is at.
        self._round, self._place = 0, -1

    def _keep(self, name: str, session: Session, look: Look) -> None:
        """Take a look of any host; those of all hosts come in the order of true time."""
        seen = look.seen
        # Simulated hosts write this text as well, but nobody in the simulator reads it.
        self._texts[session.identity.host_id] = (
            f"state={look.decided.memory.state.value}\nscore-why={seen.score_why}"
        )
        board = seen.whiteboard
        if name != _VIEWER:
            return
        if board is not None:
            board = Whiteboard(board.global_block, dict(map(self._told, board.slots.items())))
            look = attrs.evolve(look, seen=attrs.evolve(seen, whiteboard=board))
        self._looks.append(Recorded(number=len(self._looks) + 1, session=session, look=look))

    def _told(self, slot: tuple[int, SlotContent]) -> tuple[int, SlotContent]:
        host_id, content = slot
        if isinstance(content, HostRecord):
            return host_id, content._replace(text=self._texts.get(host_id, _FIRST_TEXT))
        return slot

    def status(self) -> dict[str, Any]:
        """Return what host 1 shows now."""
        passed_s = max(0.0, self._clock() - self._began_at)
        number, at_s = int(passed_s // self._length_s), passed_s % self._length_s
        if number != self._round:
            self._reader, self._round, self._place = LookReader(), number, -1
        place = max(0, bisect.bisect_right(self._times, at_s) - 1)
        while self._place < place:
            self._place += 1
            self._reader.take(self._looks[self._place])
        return self._reader.status(max(0.0, at_s - self._times[place]))

    def whiteboard(self) -> bytes:
        """Return the slots as host 1 has read them last."""
        board = self._looks[max(0, self._place)].look.seen.whiteboard
        board = board or Whiteboard(GlobalBlock(None), {})
        flag = board.global_block.maintenance
        return Whiteboard.build(board.records.values(), maintenance=flag)

    def wait(self, limit_s: float) -> None:
        """Wait until the next look of the story."""
        at_s = max(0.0, self._clock() - self._began_at) % self._length_s
        place = bisect.bisect_right(self._times, at_s)
        next_s = self._times[place] if place < len(self._times) else self._length_s
        time.sleep(min(limit_s, max(0.0, next_s - at_s)))

    def past(self, since: float) -> Iterator[Moment]:
        """Return the rounds before the first one, as if they had been there."""
        rounds = int((self._began_at - since) // self._length_s)
        for number in range(-rounds, 0):
            reader, began_at = LookReader(), self._began_at + number * self._length_s
            for at_s, look in zip(self._times, self._looks):
                reader.take(look)
                yield Moment(began_at + at_s, reader.status())
