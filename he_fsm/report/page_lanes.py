"""What the page's picture of a run shows: lanes with bars, marks and a score, as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Optional

import attrs

from he_fsm.report.events import Event
from he_fsm.report.outcome import Outcome
from he_fsm.report.truth import Change
from he_fsm.words import span_text

# Hosts in the order of the file while they are few; of more, those to which something happened.
ALL_HOSTS_UP_TO = 12
LANES_MAX = 30
NO_AGENT = "no agent"
# What befalls a cluster, and what its hosts then say and do: two rows of marks.
BEFALLEN = ("fault", "rule", "failure")
DEEDS = ("agent", "start", "migration", "notification", "problem", "liveness")
# What makes a host worth a lane before others to which something happened.
_NOTABLE = ("fault", "rule", "start", "migration", "vm", "lease")


@attrs.frozen(kw_only=True)
class Bar:
    """Something that is so from `start` to `end` (seconds). `text`: in words, a fact a line."""

    word: str
    start: float
    end: float
    text: tuple[str, ...]


@attrs.frozen
class Mark:
    """Something that happened at `t` (seconds). `kind`: an event's, or `failure`."""

    t: float
    kind: str
    text: str


@attrs.frozen
class Point:
    """A score from `t` (seconds) on; None: nothing is published any more. `text`: why."""

    t: float
    score: Optional[int]
    text: str


@attrs.frozen(kw_only=True)
class Lane:
    """One host; or, with `name` None, the engine: `bars` are then its words, `vm` its health."""

    name: Optional[str]
    label: str
    bars: tuple[Bar, ...]
    vm: tuple[Bar, ...]
    lease: tuple[Bar, ...] = ()
    scores: tuple[Point, ...] = ()
    marks: tuple[Mark, ...] = ()


def clock_text(t: float) -> str:
    """Return seconds as h:mm:ss, to the millisecond where that says more, with days in front."""
    seconds, milliseconds = divmod(round(t * 1000), 1000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    fraction = f".{milliseconds:03}".rstrip("0").rstrip(".")
    return f"{f'{days}d ' if days else ''}{hour}:{minute:02}:{second:02}{fraction}"


def host_label(name: Optional[str], hostname: str = "") -> str:
    """Return a host as people read it."""
    if name is None:
        return "the cluster"
    label = f"host {name}" if name.isdecimal() else name
    # A default hostname says nothing new.
    return label if hostname in ("", f"host{name}", name) else f"{label}  {hostname}"


def lanes(outcome: Outcome) -> tuple[tuple[Lane, ...], int]:
    """Return the engine's lane and the hosts', and how many hosts have none."""
    chosen = _chosen(outcome)
    shown = tuple(_host_lane(outcome, name) for name in chosen)
    return (_engine_lane(outcome), *shown), len(outcome.scenario.hosts) - len(chosen)


def busy_hosts(outcome: Outcome) -> tuple[str, ...]:
    """Return the hosts with more than heartbeats: the engine's and the struck ones first."""
    notable = {event.host for event in outcome.events if event.kind in _NOTABLE}
    notable |= {change.host for change in outcome.changes if change.kind in _NOTABLE}
    # Whom a host takes for alive follows from the others' heartbeats.
    busy = {event.host for event in outcome.events if event.kind != "liveness"}
    names = [host.name for host in outcome.scenario.hosts]
    first = [name for name in names if name in notable]
    return (*first, *(name for name in names if name in busy - notable))


def _chosen(outcome: Outcome) -> list[str]:
    names = [host.name for host in outcome.scenario.hosts]
    if len(names) <= ALL_HOSTS_UP_TO:
        return names
    busy = busy_hosts(outcome)
    shown = set(busy)
    quiet = [name for name in names if name not in shown]
    # A few quiet ones beside them show what quiet looks like.
    return [*busy[:LANES_MAX], *quiet[: max(0, ALL_HOSTS_UP_TO - len(busy))]]


def _engine_lane(outcome: Outcome) -> Lane:
    until = outcome.scenario.until
    engine, health = [], []
    for change in outcome.changes:
        if change.kind == "engine":
            where = "" if change.host is None else f" on {host_label(change.host)}"
            engine.append((change.t, change.word, (f"engine {change.word}{where}",)))
        elif change.kind == "health":
            health.append((change.t, change.word, (f"health page {change.word}",)))
    marks = [_mark(event) for event in outcome.events if event.host is None]
    for failure in outcome.failures:
        if failure.at is not None:
            text = f"expected {failure.expected}; seen: {failure.seen}"
            marks.append(Mark(failure.at, "failure", text))
    return Lane(
        name=None,
        label="Engine",
        bars=_bars(engine, until),
        vm=_bars(health, until),
        marks=_of_kinds(marks),
    )


def _host_lane(outcome: Outcome, name: str) -> Lane:
    until = outcome.scenario.until
    events = [event for event in outcome.events if event.host == name]
    changes = [change for change in outcome.changes if change.host == name]
    vm = [
        (change.t, change.word, (f"engine VM {change.word}", *_said(events, "vm", change.t)))
        for change in changes
        if change.kind == "vm"
    ]
    return Lane(
        name=name,
        label=host_label(name, outcome.scenario.host(name).hostname),
        bars=_bars(_states(outcome, name, events, changes), until),
        vm=_bars(vm, until),
        lease=_bars(_leases(outcome.changes, name), until),
        scores=_scores(outcome, name, events, changes),
        marks=_of_kinds(_mark(event) for event in events),
    )


_Spell = tuple[float, Optional[str], tuple[str, ...]]


def _bars(spells: Sequence[_Spell], until: float) -> tuple[Bar, ...]:
    """Make bars of what is so from a time on until the next; a moment is too short for one."""
    ends = [*(t for t, _, _ in spells[1:]), until]
    return tuple(
        Bar(word=word, start=start, end=end, text=(*text, _span_text(start, end)))
        for (start, word, text), end in zip(spells, ends)
        if word is not None and end > start
    )


def _span_text(start: float, end: float) -> str:
    return f"{clock_text(start)} to {clock_text(end)} ({span_text(end - start)})"


def _said(events: Iterable[Event], kind: str, t: float) -> tuple[str, ...]:
    return tuple(event.text() for event in events if event.kind == kind and event.t == t)


def _states(
    outcome: Outcome, name: str, events: Sequence[Event], changes: Sequence[Change]
) -> list[_Spell]:
    """Return the states with every edge that led there at that moment."""
    first = next(view.state for view in outcome.start if view.name == name)
    spells: list[_Spell] = [(0.0, first or NO_AGENT, (first or "no agent runs", "at the start"))]
    for change in changes:
        if change.kind != "state":
            continue
        edges = tuple(
            f"{event.details['from']} to {event.details['to']}: {event.text()}"
            for event in events
            if event.kind == "state" and event.t == change.t
        )
        title = change.word or "no agent runs"
        spells.append((change.t, change.word or NO_AGENT, (title, *edges)))
    return spells


def _leases(changes: Iterable[Change], name: str) -> list[_Spell]:
    return [
        (change.t, change.word if change.host == name else None, ("holds the engine's lease",))
        for change in changes
        if change.kind == "lease"
    ]


def _scores(
    outcome: Outcome, name: str, events: Sequence[Event], changes: Sequence[Change]
) -> tuple[Point, ...]:
    """Return the score as the agent computed it; it ends where the agent does."""
    first = next(view.score for view in outcome.start if view.name == name)
    points = [] if first is None else [Point(0.0, first, f"score {first} at the start")]
    points += [
        Point(event.t, int(event.details["score"]), event.text())
        for event in events
        if event.kind == "score"
    ]
    points += [
        Point(change.t, None, "")
        for change in changes
        if change.kind == "state" and change.word is None
    ]
    return tuple(sorted(points, key=lambda point: point.t))


def _mark(event: Event) -> Mark:
    return Mark(event.t, event.kind, event.text())


def _of_kinds(marks: Iterable[Mark]) -> tuple[Mark, ...]:
    wanted = (*BEFALLEN, *DEEDS)
    return tuple(sorted((m for m in marks if m.kind in wanted), key=lambda mark: mark.t))
