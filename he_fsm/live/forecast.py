"""What many runs of one question come to: who runs the engine, for how long it is away."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Optional

import attrs

from he_fsm.live.answer import answer_of
from he_fsm.report.outcome import HostView, Outcome, host_key
from he_fsm.words import printable, several, span_text

_NO_AGENT, _NO_POWER = "no agent", "no power"


@attrs.frozen(kw_only=True)
class HostForecast:
    """
    What one host does in most of the runs.

    `path`: its states in order, the one at the start first. `runs`: in how many runs it does so.
    `why`: the reason of its last edge; empty: it has taken none.
    """

    name: str
    path: tuple[str, ...]
    runs: int
    why: str


@attrs.frozen(kw_only=True)
class Forecast:
    """
    What *runs* runs of one question come to, each with other phases of loops and lease renewals.

    `before`: the host with the engine at the start. `comes_back`: in how many runs the engine is
    good at the end. `engine_on`: by host, in how many runs it is good there. `median_s`, `worst_s`:
    for how long it is away (seconds), of those runs. `stays`: a sentence about a run in which it
    does not come back; None: there is none. `broken`: a rule of safety that did not hold, as it was
    seen; None: all held.
    """

    question: str
    runs: int
    before: Optional[str]
    comes_back: int
    engine_on: dict[str, int]
    median_s: float
    worst_s: float
    stays: Optional[str]
    hosts: tuple[HostForecast, ...]
    broken: Optional[str]

    @property
    def is_well(self) -> bool:
        """Whether the engine comes back in every run, and no rule is broken."""
        return self.comes_back == self.runs and self.broken is None

    def as_json(self) -> dict[str, Any]:
        """Return the forecast as a plain object; times are in seconds."""
        plain = attrs.asdict(self)
        plain["hosts"] = {
            str(host_key(each.name)): {"path": list(each.path), "runs": each.runs, "why": each.why}
            for each in self.hosts
        }
        return {**plain, "well": self.is_well}

    def lines(self) -> Iterator[str]:
        """Return the answer, and a line for each host."""
        yield self.answer()
        width = max(len(each.name) for each in self.hosts)
        for each in self.hosts:
            often = "" if each.runs == self.runs else f" (in {each.runs} of {self.runs} runs)"
            why = f": {printable(each.why)}" if each.why else ""
            path = " -> ".join(each.path)
            yield f"  host {printable(each.name):{width}}  {path}{often}{why}"

    def answer(self) -> str:
        """Return one sentence: does the engine come back, where, and after how long."""
        if self.broken is not None:
            return f"NOT SAFE: {printable(self.broken)}"
        if not self.comes_back:
            return f"the engine does not come back: {self.stays}"
        text = f"the engine {self._verb()} {self._where()}"
        if not self.worst_s:
            text += ", and is never down"
        elif self.comes_back == 1:
            text += f"; it is down for {span_text(self.worst_s)}"
        else:
            median, worst = span_text(self.median_s), span_text(self.worst_s)
            text += f"; it is down for {median} (median), {worst} at most"
        if self.comes_back < self.runs:
            failed = several(self.runs - self.comes_back, "run")
            text += f"; but in {failed} of {self.runs} it does not come back: {self.stays}"
        return text

    def _verb(self) -> str:
        if self.worst_s:
            return "comes back on"
        return "stays on" if set(self.engine_on) == {self.before} else "moves to"

    def _where(self) -> str:
        names = {printable(name): count for name, count in self.engine_on.items()}
        if len(names) == 1:
            return f"host {next(iter(names))}"
        return ", ".join(f"host {name} (in {several(each, 'run')})" for name, each in names.items())


def forecast_of(question: str, outcomes: Sequence[Outcome]) -> Forecast:
    """Sum up the runs of one question; there is one at least."""
    answers = [answer_of(outcome) for outcome in outcomes]
    good = [each for each, answer in zip(outcomes, answers) if answer.comes_back]
    away = [float(outcome.totals["downtime"]) for outcome in good]
    on = Counter(outcome.engine_on or "" for outcome in good)
    stays = next((answer.text for answer in answers if not answer.comes_back), None)
    broken = next((each.failures[0] for each in outcomes if each.failures), None)
    return Forecast(
        question=question,
        runs=len(outcomes),
        before=outcomes[0].scenario.engine.running_on,
        comes_back=len(good),
        engine_on=dict(on.most_common()),
        median_s=statistics.median(away) if away else 0.0,
        worst_s=max(away, default=0.0),
        stays=stays,
        hosts=tuple(_host(view, outcomes) for view in outcomes[0].end),
        broken=None if broken is None else f"{broken.expected}: {broken.seen}",
    )


def _host(view: HostView, outcomes: Sequence[Outcome]) -> HostForecast:
    """Return what a host does most often."""
    courses = [_course(outcome, view.name) for outcome in outcomes]
    (path, runs), *_ = Counter(path for path, _ in courses).most_common()
    why = next(why for each, why in courses if each == path)
    return HostForecast(name=view.name, path=path, runs=runs, why=why)


def _course(outcome: Outcome, name: str) -> tuple[tuple[str, ...], str]:
    """Return a host's states in order, and the reason of its last edge."""
    start = next(view for view in outcome.start if view.name == name)
    end = next(view for view in outcome.end if view.name == name)
    path, why = [start.state or _without(start)], ""
    for event in outcome.events:
        if event.host == name and event.kind == "state":
            to, why = event.details["to"], event.text()
            if to != path[-1]:
                path.append(to)
    last = end.state or _without(end)
    if last != path[-1]:
        path, why = [*path, last], ""
    return tuple(path), why


def _without(view: HostView) -> str:
    return _NO_AGENT if view.powered else _NO_POWER
