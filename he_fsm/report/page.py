"""The page that `--html` writes: one file with everything in it, which loads nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, Optional

import attrs

from he_fsm.document.units import format_number, format_seconds
from he_fsm.report.events import Event
from he_fsm.report.files import write_whole
from he_fsm.report.notebook import IN_SECONDS
from he_fsm.report.outcome import Outcome
from he_fsm.report.page_lanes import Lane, busy_hosts, clock_text, host_label, lanes
from he_fsm.report.page_look import (
    LEASE_COLOUR,
    MARKS,
    SCORE_COLOUR,
    STATE_COLOURS,
    WORD_COLOURS,
)
from he_fsm.report.shell import HINT, check_plotly, figure_element, shell
from he_fsm.scenario.judging.judge import Failure
from he_fsm.words import span_text

_HINT = f"{HINT}; drag to zoom, double-click to go back"
# The command that ran the scenarios, unless the caller names another.
SIMULATE = "he-fsm simulate"


@attrs.frozen(kw_only=True)
class Lead:
    """
    What a page shows before the runs, if the runs have no verdicts.

    `under`: the line below the heading. `part`: HTML. `badge`: the text shown in place of each
    verdict. `is_bad`: the badge has the colour of a failure.
    """

    under: str
    part: str
    badge: str
    is_bad: bool


def write_page(
    outcomes: Sequence[Outcome], path: Path, command: str = SIMULATE, lead: Optional[Lead] = None
) -> None:
    """
    Write the page of some runs to a file, which is replaced atomically.

    *command*: the command that ran them, for the heading. *lead*: see `Lead`.

    Raises:
        MissingExtraError: plotly is not installed.
        HeFsmError: the file can't be written; an old file is unchanged.
    """
    write_whole(path, page(outcomes, command, lead).encode("utf-8", "replace"))


def page(outcomes: Sequence[Outcome], command: str = SIMULATE, lead: Optional[Lead] = None) -> str:
    """
    Return some runs as one HTML page that loads nothing else; equal runs give equal text.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    check_plotly()
    failed = sum(not outcome.passed for outcome in outcomes)
    count = f"{len(outcomes)} scenario" + ("" if len(outcomes) == 1 else "s")
    verdict = f"{count}: {len(outcomes) - failed} passed, {failed} failed"
    return shell(
        command=command,
        title=_title(outcomes, verdict),
        under=verdict if lead is None else lead.under,
        parts=[
            "" if lead is None else lead.part,
            _index(outcomes) if len(outcomes) > 1 else "",
            *(
                _section(number, outcome, _verdict(outcome) if lead is None else _badge(lead))
                for number, outcome in enumerate(outcomes, start=1)
            ),
        ],
    )


def _title(outcomes: Sequence[Outcome], verdict: str) -> str:
    return outcomes[0].scenario.name if len(outcomes) == 1 else verdict


def _verdict(outcome: Outcome) -> str:
    word = "passed" if outcome.passed else "failed"
    return f'<span class="verdict {word}">{word}</span>'


def _badge(lead: Lead) -> str:
    return (
        f'<span class="verdict {"failed" if lead.is_bad else "soft"}">{escape(lead.badge)}</span>'
    )


def _index(outcomes: Sequence[Outcome]) -> str:
    rows = "\n".join(
        f'<tr><td><a href="#scenario-{number}">{escape(outcome.scenario.name)}</a></td>'
        f"<td>{_verdict(outcome)}</td>"
        f'<td class="number">{span_text(outcome.totals["downtime"])}</td></tr>'
        for number, outcome in enumerate(outcomes, start=1)
    )
    return (
        '<nav class="index"><table><thead><tr><th>scenario</th><th>verdict</th>'
        f'<th class="number">downtime</th></tr></thead><tbody>\n{rows}\n</tbody></table></nav>'
    )


def _section(number: int, outcome: Outcome, verdict: str) -> str:
    scenario = outcome.scenario
    shown, left_out = lanes(outcome)
    hosts = f"{len(scenario.hosts)} host" + ("" if len(scenario.hosts) == 1 else "s")
    facts = (
        f"{hosts}, {clock_text(scenario.until)} long, seed {outcome.seed}. "
        f"At the end: engine {_where(outcome)}."
    )
    about = f"<p>{escape(scenario.about)}</p>" if scenario.about else ""
    parts = [
        f'<section id="scenario-{number}">',
        f'<div class="title"><h2>{escape(scenario.name)}</h2>{verdict}</div>',
        about,
        f'<p class="soft">{facts}</p>',
        _failures(outcome.failures),
        _totals(outcome.totals),
        _legend(shown),
        _left_out(outcome, len(shown) - 1, left_out),
        _figure(f"figure-{number}", shown, outcome),
        _events(outcome),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _where(outcome: Outcome) -> str:
    if outcome.engine_on is None:
        return escape(outcome.engine)
    return escape(f"{outcome.engine} on {host_label(outcome.engine_on)}")


def _failures(failures: Iterable[Failure]) -> str:
    items = []
    for failure in failures:
        rows = [
            ("place", str(failure.place)),
            ("expected", failure.expected),
            ("seen", failure.seen),
        ]
        if failure.at is not None:
            rows.append(("when", f"{clock_text(failure.at)} ({format_seconds(failure.at)})"))
        cells = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in rows if text)
        items.append(f"<li><dl>{cells}</dl></li>")
    return f'<ul class="failures">{"".join(items)}</ul>' if items else ""


def _totals(totals: dict[str, Any]) -> str:
    cells = []
    for name, value in totals.items():
        text = span_text(value) if name in IN_SECONDS else format_number(value)
        zero = "" if value else ' class="zero"'
        cells.append(f"<div{zero}><dt>{name.replace('_', ' ')}</dt><dd>{text}</dd></div>")
    return f'<dl class="totals">{"".join(cells)}</dl>'


def _legend(shown: Sequence[Lane]) -> str:
    """Return the legend of the colours and marks that this figure uses."""
    states = {bar.word for lane in shown[1:] for bar in lane.bars}
    words = {bar.word for lane in shown for bar in lane.vm} | {bar.word for bar in shown[0].bars}
    kinds = {mark.kind for lane in shown for mark in lane.marks}
    rows = [
        ("states", [_swatch(c, word, 12) for word, c in STATE_COLOURS.items() if word in states]),
        ("engine", [_swatch(c, word, 7) for word, c in WORD_COLOURS.items() if word in words]),
        ("lines", [_swatch(LEASE_COLOUR, "holds the lease", 5), _swatch(SCORE_COLOUR, "score", 2)]),
        ("marks", [_symbol(kind) for kind in MARKS if kind in kinds]),
    ]
    return "\n".join(
        f'<ul class="legend"><li class="group">{name}</li>{"".join(items)}</ul>'
        for name, items in rows
        if items
    )


def _swatch(colour: str, word: str, height: int) -> str:
    look = f"background:{colour};height:{height}px"
    return f'<li><span class="swatch" style="{look}"></span>{word}</li>'


def _symbol(kind: str) -> str:
    look = MARKS[kind]
    return (
        '<li><svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true">'
        f'<path d="{look.path}" fill="{look.colour}"/></svg>{look.meaning}</li>'
    )


def _left_out(outcome: Outcome, shown: int, left_out: int) -> str:
    if not left_out:
        return ""
    busy_left_out = max(0, len(busy_hosts(outcome)) - shown)
    quiet = left_out - busy_left_out
    parts = []
    if busy_left_out:
        parts.append(f"{busy_left_out} more hosts with events, all of which the list below has")
    if quiet:
        parts.append(f"{quiet} quiet hosts, with nothing but heartbeats")
    return f'<p class="soft">Not drawn: {"; ".join(parts)}.</p>'


def _figure(name: str, shown: Sequence[Lane], outcome: Outcome) -> str:
    from he_fsm.report.page_figure import figure  # noqa: PLC0415 - the extra `report`

    scenario = outcome.scenario
    drawing = figure(shown, scenario.until, scenario.policy.score_max)
    label = f"Timeline of {scenario.name}; the events are listed below it"
    return figure_element(name, drawing, label, _HINT)


def _events(outcome: Outcome) -> str:
    """Return a table of every event, for readers who search, or who can't see the figure."""
    rows = "\n".join(
        f'<tr><td class="number">{clock_text(event.t)}</td>'
        f"<td>{escape(host_label(event.host))}{f' and {others} more' if others else ''}</td>"
        f"<td>{escape(_kind(event.kind, event.details))}</td><td>{escape(event.text())}</td></tr>"
        for event, others in _together(outcome)
    )
    return (
        f"<details><summary>All {len(outcome.events)} events</summary>"
        '<div class="wide"><table><thead><tr><th class="number">time</th><th>host</th>'
        f"<th>what</th><th>why</th></tr></thead><tbody>\n{rows}\n</tbody></table></div></details>"
    )


def _together(outcome: Outcome) -> list[tuple[Event, int]]:
    """Return each event, and how many other hosts reported the same death or return after it."""
    world = outcome.scenario.world
    rows: list[tuple[Event, int]] = []
    latest: dict[str, int] = {}
    for event in outcome.events:
        row = latest.get(event.text()) if event.kind == "liveness" else None
        if row is not None and event.t - rows[row][0].t <= world.loop_s + world.jitter_s:
            rows[row] = (rows[row][0], rows[row][1] + 1)
            continue
        if event.kind == "liveness":
            latest[event.text()] = len(rows)
        rows.append((event, 0))
    return rows


def _kind(kind: str, details: dict[str, Any]) -> str:
    return f"{details['from']} to {details['to']}" if kind == "state" else kind
