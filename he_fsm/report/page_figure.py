"""The page's picture of a run, as a plotly figure: lanes on one time axis, laid out in pixels."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, Optional

import attrs
import plotly.graph_objects as go

from he_fsm.report.page_lanes import BEFALLEN, DEEDS, NO_AGENT, Bar, Lane, Mark, Point, clock_text
from he_fsm.report.page_look import (
    GRID,
    LEASE_COLOUR,
    MARKS,
    SCORE_COLOUR,
    STATE_COLOURS,
    TEXT_ON_BARS,
    TEXT_ON_EITHER,
    WORD_COLOURS,
)

# The figure's times begin in year 1, so that plotly's dates show the day and the year of a run.
# plotly counts milliseconds since 1970.
_ORIGIN_MS = -62_135_596_800_000
_DAY_S, _YEAR_S = 86_400, 365 * 86_400
# Heights in pixels.
_LABEL, _MARK_ROW, _BAR, _THIN, _THINNER, _SCORE, _GAP = 20, 15, 20, 7, 5, 26, 4
_BETWEEN = 12
_TOP, _BOTTOM = 28, 40
# Marks that are closer together than this share of the run overlap: each one's label lists all.
_TOGETHER = 0.005
_TOGETHER_MAX = 8
# A score is written as a number if it lasts for this share of the run.
_NUMBER_FITS = 0.05
_HOVER_WIDTH = 46
# The axis is a little longer at both ends, so that marks there are not cut off.
_MARGIN = 0.01
_BAND = "rgba(128,128,128,0.07)"
_RED = "rgba(209,73,91,0.55)"


@attrs.frozen(kw_only=True)
class _Place:
    """The middles of a lane's rows, in pixels from the top; None: the lane has no such row."""

    lane: Lane
    top: float
    befallen: Optional[float]
    deeds: Optional[float]
    bars: float
    vm: float
    lease: float
    score_top: float
    bottom: float


def figure(lanes: Sequence[Lane], until: float, score_max: int) -> go.Figure:
    """
    Draw lanes.

    Args:
        until: the end of the time axis, in seconds.
        score_max: the score that fills its row.
    """
    places = _places(lanes)
    traces = [
        *_bar_traces(((p.bars, bar) for p in places for bar in p.lane.bars), _BAR, named=True),
        *_bar_traces(((p.vm, bar) for p in places for bar in p.lane.vm), _THIN),
        *_bar_traces(((p.lease, bar) for p in places for bar in p.lane.lease), _THINNER),
        *(_score_trace(p, until, score_max) for p in places if p.lane.name is not None),
        _number_trace(places, until, score_max),
        *_mark_traces(places, until),
    ]
    return go.Figure(data=traces, layout=_layout(places, until))


def _places(lanes: Sequence[Lane]) -> list[_Place]:
    places, top = [], 0.0
    for lane in lanes:
        kinds = {mark.kind for mark in lane.marks}
        at = top + _LABEL
        befallen = deeds = None
        if kinds.intersection(BEFALLEN):
            befallen, at = at + _MARK_ROW / 2, at + _MARK_ROW
        if kinds.intersection(DEEDS):
            deeds, at = at + _MARK_ROW / 2, at + _MARK_ROW
        bars, at = at + _BAR / 2 + 1, at + _BAR + 3
        vm = lease = at
        if lane.vm:
            vm, at = at + _THIN / 2, at + _THIN + 2
        if lane.lease:
            lease, at = at + _THINNER / 2, at + _THINNER + 1
        score_top = at + _GAP
        bottom = at + _BETWEEN if lane.name is None else score_top + _SCORE + _BETWEEN
        places.append(
            _Place(
                lane=lane,
                top=top,
                befallen=befallen,
                deeds=deeds,
                bars=bars,
                vm=vm,
                lease=lease,
                score_top=score_top,
                bottom=bottom,
            )
        )
        top = bottom
    return places


def _x(t: float) -> int:
    return _ORIGIN_MS + round(t * 1000)


def _hover(lines: Iterable[str]) -> str:
    """Break lines for a hover label, and escape what plotly would read as markup."""
    wrapped = (part for line in lines for part in textwrap.wrap(line, _HOVER_WIDTH) or [""])
    return "<br>".join(html.escape(part) for part in wrapped)


def _colour(word: str) -> str:
    if word == "held":
        return LEASE_COLOUR
    return STATE_COLOURS.get(word) or WORD_COLOURS[word]


def _bar_traces(
    bars: Iterable[tuple[float, Bar]], height: float, *, named: bool = False
) -> list[go.Bar]:
    """Draw the bars of one kind of row, a trace for each word; *named*: with the words in them."""
    by_word: dict[str, list[tuple[float, Bar]]] = {}
    for y, bar in bars:
        by_word.setdefault(bar.word, []).append((y, bar))
    return [
        go.Bar(
            name=word,
            orientation="h",
            base=[_x(bar.start) for _, bar in placed],
            # At least 1 ms, so that every bar can be seen when zoomed in.
            x=[max(1, _x(bar.end) - _x(bar.start)) for _, bar in placed],
            y=[y for y, _ in placed],
            width=height,
            marker={"color": _colour(word), "line": {"width": 0}, "cornerradius": 2},
            text=[html.escape(bar.text[0]) for _, bar in placed] if named else None,
            textposition="inside" if named else "none",
            insidetextanchor="start",
            insidetextfont={
                "size": 12,
                # This bar is translucent, and the ground may be light or dark.
                "color": TEXT_ON_EITHER if word == NO_AGENT else TEXT_ON_BARS,
            },
            textangle=0,
            hovertext=[_hover(bar.text) for _, bar in placed],
            hoverinfo="text",
        )
        for word, placed in by_word.items()
    ]


def _score_trace(place: _Place, until: float, score_max: int) -> go.Scatter:
    """Draw a score as steps; each step has points at both ends, so that both have hover labels."""
    xs: list[int] = []
    ys: list[Optional[float]] = []
    hovers: list[str] = []
    points = place.lane.scores
    ends = [*(point.t for point in points[1:]), until]
    for point, end in zip(points, ends):
        text = _hover([point.text, f"since {clock_text(point.t)}"])
        for t in (point.t, end):
            xs.append(_x(t))
            ys.append(_score_y(place, point, score_max))
            hovers.append(text)
    return go.Scatter(
        name="score",
        x=xs,
        y=ys,
        mode="lines",
        line={"color": SCORE_COLOUR, "width": 2},
        connectgaps=False,
        hovertext=hovers,
        hoverinfo="text",
        xaxis="x2",
    )


def _number_trace(places: Sequence[_Place], until: float, score_max: int) -> go.Scatter:
    """Write scores beside their lines, where there is room."""
    written = []
    for place in places:
        points = place.lane.scores
        ends = [*(point.t for point in points[1:]), until]
        for point, end in zip(points, ends):
            y = _score_y(place, point, score_max)
            if y is not None and end - point.t > _NUMBER_FITS * until:
                # Below the line in the upper half of the row, above it in the lower.
                is_high = y < place.score_top + _SCORE / 2
                written.append((point, y + 9 if is_high else y - 8))
    return go.Scatter(
        name="score in numbers",
        mode="text",
        x=[_x(point.t) for point, _ in written],
        y=[y for _, y in written],
        text=[str(point.score) for point, _ in written],
        textposition="middle right",
        textfont={"size": 10, "color": SCORE_COLOUR},
        hoverinfo="skip",
    )


def _score_y(place: _Place, point: Point, score_max: int) -> Optional[float]:
    if point.score is None:
        return None
    share = min(1.0, max(0.0, point.score / score_max))
    return round(place.score_top + _SCORE * (1 - share), 2)


def _mark_traces(places: Sequence[_Place], until: float) -> list[go.Scatter]:
    """Draw the marks, a trace for each kind."""
    by_kind: dict[str, list[tuple[float, float, str]]] = {}
    for place in places:
        for y, kinds in ((place.befallen, BEFALLEN), (place.deeds, DEEDS)):
            if y is None:
                continue
            row = [mark for mark in place.lane.marks if mark.kind in kinds]
            for together in _clusters(row, until * _TOGETHER):
                text = _cluster_text(together)
                for t, kind in sorted({(mark.t, mark.kind) for mark in together}):
                    by_kind.setdefault(kind, []).append((t, y, text))
    return [
        go.Scatter(
            name=kind,
            mode="markers",
            x=[_x(t) for t, _, _ in by_kind[kind]],
            y=[y for _, y, _ in by_kind[kind]],
            marker={"symbol": look.symbol, "size": look.size, "color": look.colour},
            hovertext=[text for _, _, text in by_kind[kind]],
            hoverinfo="text",
            cliponaxis=False,
        )
        for kind, look in MARKS.items()
        if kind in by_kind
    ]


def _clusters(marks: Sequence[Mark], span_s: float) -> list[list[Mark]]:
    clusters: list[list[Mark]] = []
    for mark in marks:
        if clusters and mark.t - clusters[-1][0].t <= span_s:
            clusters[-1].append(mark)
        else:
            clusters.append([mark])
    return clusters


def _cluster_text(marks: Sequence[Mark]) -> str:
    lines = [f"{clock_text(mark.t)} {mark.kind}: {mark.text}" for mark in marks[:_TOGETHER_MAX]]
    left_out = len(marks) - len(lines)
    return _hover([*lines, f"and {left_out} more"] if left_out else lines)


def _layout(places: Sequence[_Place], until: float) -> dict[str, Any]:
    height = places[-1].bottom
    ends = [_x(-_MARGIN * until), _x((1 + _MARGIN) * until)]
    axis = {
        "type": "date",
        "range": ends,
        "minallowed": ends[0],
        "maxallowed": ends[1],
        "tickformatstops": _tick_formats(until),
        "gridcolor": GRID,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": GRID,
        # The default of an overlaid axis, `sync`, computes times from rounded pixels.
        "tickmode": "auto",
        "nticks": 8,
        "tickangle": 0,
    }
    failures = sorted({m.t for p in places for m in p.lane.marks if m.kind == "failure"})
    return {
        # No theme: plotly would repeat its own in every figure.
        "template": "none",
        "height": height + _TOP + _BOTTOM,
        "margin": {"l": 10, "r": 10, "t": _TOP, "b": _BOTTOM},
        "barmode": "overlay",
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": "zoom",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "uniformtext": {"mode": "hide", "minsize": 11},
        "font": {"family": "system-ui, sans-serif", "size": 12},
        "hoverlabel": {"align": "left", "font": {"size": 12}},
        "xaxis": {**axis, "side": "top"},
        "xaxis2": {
            **axis,
            "side": "bottom",
            "overlaying": "x",
            "matches": "x",
            "showgrid": False,
            "title": {"text": _axis_title(until), "standoff": 4, "font": {"size": 11}},
        },
        "yaxis": {"range": [height, 0], "visible": False, "fixedrange": True},
        "annotations": [_label(place) for place in places],
        "shapes": [*_bands(places), *(_failure_line(t) for t in failures)],
    }


def _tick_formats(until: float) -> list[dict[str, Any]]:
    """Return the formats of times, by the distance of two ticks in milliseconds."""
    day = "" if until < _DAY_S else "day %-j, " if until <= _YEAR_S else "year %-Y day %-j, "
    return [
        {"dtickrange": [None, 1000], "value": f"{day}%-H:%M:%S.%L"},
        {"dtickrange": [1000, _DAY_S * 1000], "value": f"{day}%-H:%M:%S"},
        {"dtickrange": [_DAY_S * 1000, None], "value": day.rstrip(", ") or "%-H:%M:%S"},
    ]


def _axis_title(until: float) -> str:
    return "h:mm:ss since the scenario began" + ("" if until < _DAY_S else ", which is in day 1")


def _label(place: _Place) -> dict[str, Any]:
    return {
        "text": f"<b>{html.escape(place.lane.label)}</b>",
        "showarrow": False,
        "xref": "paper",
        "x": 0,
        "xanchor": "left",
        "yref": "y",
        "y": place.top + _LABEL / 2 + 2,
        "yanchor": "middle",
        "font": {"size": 12},
    }


def _bands(places: Sequence[_Place]) -> list[dict[str, Any]]:
    """Shade every other lane; draw the line of score 0."""
    across = {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "layer": "below"}
    bands = [
        {**across, "y0": p.top, "y1": p.bottom, "fillcolor": _BAND, "line": {"width": 0}}
        for p in places[::2]
    ]
    zeros = [p.score_top + _SCORE for p in places if p.lane.name is not None]
    line = {"color": GRID, "width": 1}
    return bands + [{**across, "type": "line", "y0": y, "y1": y, "line": line} for y in zeros]


def _failure_line(t: float) -> dict[str, Any]:
    return {
        "type": "line",
        "xref": "x",
        "x0": _x(t),
        "x1": _x(t),
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "line": {"color": _RED, "width": 1.5, "dash": "dash"},
    }
