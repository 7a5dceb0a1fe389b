"""What a what-if comes to: does the engine come back, and if not, why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

import attrs

from he_fsm.metadata import HostRecord, decode_slot
from he_fsm.report.outcome import HostView, Outcome
from he_fsm.states.names import State
from he_fsm.words import hosts_text, printable, span_text

_WHY = "score-why="


@attrs.frozen
class Answer:
    """Whether the engine is good at the end of the run, and a sentence about it."""

    comes_back: bool
    text: str

    def as_json(self) -> dict[str, Any]:
        """Return the answer as a plain object."""
        return attrs.asdict(self)


def asks_nothing(outcome: Outcome) -> bool:
    """Return whether the scenario expects nothing, so that there is nothing to pass or fail."""
    return not outcome.scenario.expect


def answer_of(outcome: Outcome) -> Answer:
    """Answer whether the engine of a run comes back."""
    runs_on = outcome.engine_on
    if outcome.engine == "good":
        return Answer(True, _good(outcome))
    if outcome.engine == "down" or runs_on is None:
        return Answer(False, f"the engine stays down: {_why_down(outcome)}")
    if outcome.engine in ("starting", "migrating", "stopping"):
        text = (
            f"not yet: the engine is {outcome.engine} on host {runs_on} at the end; a longer run"
            f" tells more: --set until={2 * outcome.scenario.until:g}s"
        )
        return Answer(False, text)
    return Answer(False, f"the engine stays {outcome.engine} on host {runs_on}")


def _good(outcome: Outcome) -> str:
    where = f"host {printable(outcome.engine_on or '')}"
    before = outcome.scenario.engine.running_on
    down_s = float(outcome.totals["downtime"])
    if not down_s:
        moved = before is not None and before != outcome.engine_on
        return f"the engine {'moves to' if moved else 'stays on'} {where}, and is never down"
    longest_s = float(outcome.totals["longest_outage"])
    times = "" if longest_s == down_s else f", at most {span_text(longest_s)} at a time"
    return f"the engine comes back, on {where}; it is down for {span_text(down_s)}{times}"


def _why_down(outcome: Outcome) -> str:
    if any(view.state == State.GLOBAL_MAINTENANCE.value for view in outcome.end):
        return "global maintenance is on, so nobody starts it"
    reasons: dict[str, list[HostView]] = {}
    for view in outcome.end:
        reasons.setdefault(_why_not(outcome, view), []).append(view)
    parts = list(_sentences(reasons))
    owner = _owner(outcome)
    if owner is not None:
        parts.insert(0, f"host {printable(owner)} holds its lease")
    return "; ".join(parts)


def _sentences(reasons: dict[str, list[HostView]]) -> Iterator[str]:
    for reason, views in reasons.items():
        # Two hosts with one id have names.
        names = {view.name for view in views}
        if all(name.isdecimal() for name in names):
            hosts = hosts_text(int(name) for name in names)
        else:
            hosts = f"host {', '.join(sorted(map(printable, names)))}"
        yield f"{hosts} {reason if len(views) == 1 else _PLURAL.get(reason, reason)}"


_NO_POWER, _NO_AGENT = "has no power", "runs no agent"
_LOCAL, _NOTHING = "is in local maintenance", "has written no record"
_PLURAL = {
    _NO_POWER: "have no power",
    _NO_AGENT: "run no agent",
    _LOCAL: "are in local maintenance",
    _NOTHING: "have written no record",
}


def _why_not(outcome: Outcome, view: HostView) -> str:
    """Return why a host does not run the engine at the end."""
    if not view.powered:
        return _NO_POWER
    if view.state is None:
        return _NO_AGENT
    record = decode_slot(view.host_id, view.block, version=outcome.versions)
    if not isinstance(record, HostRecord):
        return _NOTHING
    if record.local_maintenance:
        return _LOCAL
    if view.state == State.UNKNOWN.value:
        return f"is in Unknown: {_last_reason(outcome, view.name)}"
    if not record.score:
        why = next((line for line in record.text.split("\n") if line.startswith(_WHY)), "")
        return printable(f"has score 0: {why[len(_WHY) :].removeprefix('0: ') or 'reason unknown'}")
    return f"is in {view.state}: {_last_reason(outcome, view.name)}"


def _last_reason(outcome: Outcome, name: str) -> str:
    """Return why a host is in its state."""
    for event in reversed(outcome.events):
        if event.host == name and event.kind == "state":
            return printable(event.text())
    return "since the start"


def _owner(outcome: Outcome) -> Optional[str]:
    """Return who holds the engine's lease at the end."""
    held = [change.host for change in outcome.changes if change.kind == "lease"]
    return held[-1] if held else None
