"""Where today's version decides otherwise than was decided then: what, and from which inputs."""

from __future__ import annotations

from typing import Any, Final, Optional

import attrs

from he_fsm import tick
from he_fsm.history.book import Recorded
from he_fsm.history.look import Decided, Look
from he_fsm.history.values import SAME, changed, full

_NAMES: Final = tuple(field.name for field in attrs.fields(Decided) if field.name != "memory")


@attrs.frozen(kw_only=True)
class Difference:
    """
    A run of looks in which today's version differs in the same way.

    `first`, `last`: their numbers; `wall_at`: when the first was (seconds since 1970, the host's
    wall clock). `then`, `today`: what was decided and what is, in words. `what`: the names of the
    parts of a decision that differ. `inputs`: what the first look saw anew, as plain objects, and
    so what the decision rests on that the one before did not.
    """

    host_id: int
    first: int
    last: int
    wall_at: float
    then: str
    today: str
    what: tuple[str, ...]
    inputs: Any

    def goes_on(self, other: Difference) -> bool:
        """Return whether the next look differs in the same way."""
        return (self.last + 1, self.what, self.then, self.today) == (
            other.first,
            other.what,
            other.then,
            other.today,
        )


def difference(last: Optional[Look], now: Recorded) -> Optional[Difference]:
    """Return how today's version differs at one look; None: it decides and rates the same."""
    seen, session = now.look.seen, now.session
    rated = tick.rate_host(seen.before, seen.facts, session.identity, session.policy)
    then, today = now.look.decided, now.otherwise or now.look.decided
    what = [] if then is today else _parts_that_differ(then, today)
    said, says = words(seen.before.state.value, then), words(seen.before.state.value, today)
    if rated.total != seen.score:
        what.append("score")
        said = f"{said}; score {seen.score}: {seen.score_why}"
        says = f"{says}; score {rated.total}: {rated.why}"
    if not what:
        return None
    return Difference(
        host_id=session.identity.host_id,
        first=now.number,
        last=now.number,
        wall_at=seen.wall_at,
        then=said,
        today=says,
        what=tuple(what),
        inputs=inputs(last, now.look),
    )


def _parts_that_differ(then: Decided, today: Decided) -> list[str]:
    what = [name for name in _NAMES if getattr(then, name) != getattr(today, name)]
    patch = changed(then.memory, today.memory)
    if patch is not SAME:
        what += [f"memory.{name}" for name in patch]
    return what


def inputs(last: Optional[Look], now: Look) -> Any:
    """Return what a look saw that the one before did not, as plain objects."""
    seen = now.seen
    if last is None:
        return {"facts": full(seen.facts), "own": full(seen.own), "first": True}
    found = {}
    for name in ("facts", "own", "whiteboard"):
        patch = changed(getattr(last.seen, name), getattr(seen, name))
        if patch is not SAME:
            found[name] = patch
    return found


def words(state: str, decided: Decided) -> str:
    """Return a decision in words: the edge or the state that stays, orders, and the reason."""
    to = decided.memory.state.value
    move = f"stays {state}" if decided.edge is None else f"{state} -> {to} ({decided.edge})"
    orders = [str(deed["is"]) for deed in decided.effects if deed["is"] not in ("Notify", "Alarm")]
    does = f", {', '.join(orders)}" if orders else ""
    return f"{move}{does}: {decided.reason}"
