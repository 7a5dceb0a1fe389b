"""What Jupyter shows of an outcome: a few kilobytes of HTML, without scripts or anything loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from he_fsm.document.units import format_number
from he_fsm.report.html import as_html
from he_fsm.report.outcome import Outcome
from he_fsm.report.page_lanes import Bar, Lane, Mark, clock_text, lanes
from he_fsm.report.page_look import MARKS, STATE_COLOURS, WORD_COLOURS
from he_fsm.words import span_text

IN_SECONDS = ("downtime", "longest_outage")
# What is narrower than this share of the run can't be told apart.
_NARROW = 0.001
# A notebook's own colours and fonts hold, light or dark; these go with both.
_GROUND = "rgba(128,128,128,.15)"
SOFT = "opacity:.7;font-size:.85em"
_VERDICTS = {True: ("passed", "#2f9e62"), False: ("failed", "#d4364b")}
# The marks that stand above a lane; the page has them all.
_MARKED = ("fault", "rule", "failure")


@as_html.register(Outcome)
def outcome_html(outcome: Outcome) -> str:
    """Show an outcome: verdict, what failed, totals, and who did what when."""
    shown, left_out = lanes(outcome)
    until = outcome.scenario.until
    parts = [
        _head(outcome),
        *_failures(outcome),
        _totals(outcome),
        '<div style="display:grid;grid-template-columns:max-content 1fr;gap:3px 10px">',
        *(_lane(lane, until) for lane in shown),
        _axis(until),
        "</div>",
        _legend(shown),
    ]
    if left_out:
        parts.append(f'<div style="{SOFT}">{left_out} more hosts are not drawn.</div>')
    return f'<div style="max-width:960px;line-height:1.4">{"".join(parts)}</div>'


def verdict_html(word: str, colour: str) -> str:
    """Show one word in a coloured frame; no coloured word can be read on both light and dark."""
    look = f"border:1px solid {colour};border-radius:9px;padding:0 8px"
    return f'<span style="{look};font-size:.85em">{escape(word)}</span>'


def _head(outcome: Outcome) -> str:
    scenario = outcome.scenario
    word, colour = _VERDICTS[outcome.passed]
    about = f"<div>{escape(scenario.about)}</div>" if scenario.about else ""
    return f"<div><b>{escape(scenario.name)}</b> {verdict_html(word, colour)}</div>{about}"


def _failures(outcome: Outcome) -> Iterator[str]:
    _, colour = _VERDICTS[False]
    for failure in outcome.failures:
        at = "" if failure.at is None else f" at {clock_text(failure.at)}"
        text = f"{failure.place}: expected {failure.expected}; seen{at}: {failure.seen}"
        yield f'<div style="border-left:3px solid {colour};padding-left:8px">{escape(text)}</div>'


def _totals(outcome: Outcome) -> str:
    texts = (
        f"{name.replace('_', ' ')} "
        f"{span_text(value) if name in IN_SECONDS else format_number(value)}"
        for name, value in outcome.totals.items()
        if value
    )
    return (
        f'<div style="{SOFT};margin:4px 0">{escape(", ".join(texts) or "nothing happened")}</div>'
    )


def _lane(lane: Lane, until: float) -> str:
    bars = "".join(_bar(bar, until) for bar in _apart(lane.bars, until))
    marks = "".join(_mark(mark, until) for mark in _marks_apart(lane.marks, until))
    return (
        f'<span style="white-space:nowrap">{escape(lane.label)}</span>'
        f'<div style="position:relative;height:1.3em;background:{_GROUND};overflow:hidden">'
        f"{bars}{marks}</div>"
    )


def _axis(until: float) -> str:
    return (
        f'<span></span><div style="display:flex;justify-content:space-between;{SOFT}">'
        f"<span>{clock_text(0.0)}</span><span>{clock_text(until)}</span></div>"
    )


def _bar(bar: Bar, until: float) -> str:
    look = (
        f"position:absolute;top:0;bottom:0;left:{_percent(bar.start, until)};"
        f"width:{_percent(bar.end - bar.start, until)};min-width:1px;background:{_colour(bar.word)}"
    )
    return f'<span style="{look}" title="{escape(chr(10).join(bar.text))}"></span>'


def _mark(mark: Mark, until: float) -> str:
    look = f"position:absolute;top:0;left:{_percent(mark.t, until)};color:{MARKS[mark.kind].colour}"
    text = escape(f"{clock_text(mark.t)} {mark.text}")
    return (
        f'<span style="{look};transform:translateX(-50%);line-height:1;font-size:.8em"'
        f' title="{text}">&#9660;</span>'
    )


def _apart(bars: Iterable[Bar], until: float) -> Iterator[Bar]:
    """Leave out the narrow bars that would lie on another one."""
    last = -1.0
    for bar in bars:
        if bar.end - bar.start >= _NARROW * until or bar.start - last >= _NARROW * until:
            last = bar.start
            yield bar


def _marks_apart(marks: Iterable[Mark], until: float) -> Iterator[Mark]:
    last = -until
    for mark in marks:
        if mark.kind in _MARKED and mark.t - last >= _NARROW * until:
            last = mark.t
            yield mark


def _legend(shown: Iterable[Lane]) -> str:
    words = dict.fromkeys(bar.word for lane in shown for bar in lane.bars)
    swatch = "display:inline-block;width:1em;height:.7em;margin:0 4px 0 0"
    items = (
        '<span style="white-space:nowrap">'
        f'<span style="{swatch};background:{_colour(word)}"></span>{escape(word)}</span>'
        for word in words
    )
    look = f"display:flex;flex-wrap:wrap;gap:0 12px;margin-top:4px;{SOFT}"
    return f'<div style="{look}">{"".join(items)}</div>'


def _colour(word: str) -> str:
    return STATE_COLOURS.get(word) or WORD_COLOURS[word]


def _percent(seconds: float, until: float) -> str:
    return f"{round(100 * seconds / until, 3):g}%"
