"""The figures of a campaign, for pages and documents, drawn by plotly."""

from __future__ import annotations

import html
import textwrap
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs
import plotly.graph_objects as go

from he_fsm.campaign.page_words import (
    availability_text,
    between_text,
    duration_text,
    interval_text,
    number_text,
)
from he_fsm.campaign.results import CampaignResult, Estimate, VariationResult
from he_fsm.report.page_look import GRID, LEGEND, SCORE_COLOUR
from he_fsm.report.pictures import Picture

# Heights in pixels: a line of a name, the value in words, the drawing, the axis, the legend.
_NAME_ROW, _VALUE_ROW, _ROW, _AXIS, _LEGEND_LINE = 20, 16, 24, 46, 24
# Characters of a name that fit a line on a phone, and lines of a name in a row.
_NAME_WIDTH, _NAME_LINES_MAX = 46, 3
# If there are more variations, a figure shows the best ones.
VARIATIONS_MAX: Final = 40
_COMPARED_MAX: Final = 3
_BEST, _OTHER = "#3f9e6b", SCORE_COLOUR
# Distinct on light and on dark, and for people who don't see red or green. Source: Okabe and Ito.
_COLOURS: Final = (
    *("#0f7cba", "#e69f00", "#18a378", "#cc79a7", "#56b4e9", "#d55e00", "#c9b81e", "#8a96a3"),
    *("#7a68c4", "#a0764a"),
)
# The edges of the bins of outage lengths, in seconds.
_EDGES: Final = (
    *(0.0, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0),
    *(7200.0, 4 * 3600.0, 12 * 3600.0, 86_400.0),
)


_EDGES_NAMED: Final = 6
_UNITS: Final = (("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


def figures(result: CampaignResult) -> Iterator[Picture]:
    """Yield the figures of a campaign; none before the first run has ended."""
    shown = drawn(result)
    if not shown:
        return
    yield Picture(
        name="availability",
        title=f"Availability, with {result.confidence:.0%} confidence",
        drawing=_availability(shown),
    )
    if any(each.outage_lengths.count for each in shown):
        yield Picture(
            name="outages",
            title="Outages a year, by their length",
            drawing=_outages(compared(shown)),
        )
        yield Picture(
            name="causes",
            title="Downtime a year, by cause",
            drawing=_causes(shown),
        )


def drawn(result: CampaignResult) -> tuple[VariationResult, ...]:
    """Return the variations that figures show, in the order of the file; the best, if too many."""
    by_downtime = sorted(result.variations, key=lambda each: each.downtime_s_a_year.value)
    kept = {each.variation.name for each in by_downtime[:VARIATIONS_MAX]}
    return tuple(each for each in result.variations if each.variation.name in kept)


def compared(shown: Sequence[VariationResult]) -> tuple[VariationResult, ...]:
    """Return the variations whose outages are compared: the first, the best and the worst."""
    worst = max(shown, key=lambda each: each.downtime_s_a_year.value)
    best = [each for each in shown if each.is_best]
    names = {each.variation.name for each in (shown[0], *best, worst)}
    return tuple(each for each in shown if each.variation.name in names)[:_COMPARED_MAX]


def _availability(shown: Sequence[VariationResult]) -> go.Figure:
    rows, estimates = _Rows(shown), [each.availability for each in shown]
    dots = go.Scatter(
        mode="markers",
        x=[each.value for each in estimates],
        y=rows.middles,
        error_x={
            "array": [(each.high or each.value) - each.value for each in estimates],
            "arrayminus": [
                each.value - (each.value if each.low is None else each.low) for each in estimates
            ],
            "color": "#8a96a3",
            "thickness": 1.5,
            "width": 5,
        },
        marker={"size": 11, "color": [_BEST if each.is_best else _OTHER for each in shown]},
        hovertext=[_availability_hover(each) for each in shown],
        hoverinfo="text",
        cliponaxis=False,
    )
    values = [
        f"{availability_text(each.availability)}; down "
        f"{duration_text(each.downtime_s_a_year.value)} a year"
        for each in shown
    ]
    low, high = _range(estimates)
    axis = {"tickformat": ".6~%", "range": [low, high], "nticks": 4}
    return go.Figure(data=[dots], layout=_rows_layout(rows, axis, values))


def _down(each: VariationResult) -> str:
    return f"{between_text(each.downtime_s_a_year)} a year"


def _availability_hover(each: VariationResult) -> str:
    return _hover(
        each.variation.name,
        f"{availability_text(each.availability)} ({interval_text(each.availability)})",
        f"down {_down(each)}",
        f"{len(each.runs)} runs, {number_text(each.years)} cluster-years",
    )


def _range(estimates: Sequence[Estimate]) -> tuple[float, float]:
    lows = [each.value if each.low is None else each.low for each in estimates]
    highs = [each.value if each.high is None else each.high for each in estimates]
    room = 0.06 * (max(highs) - min(lows)) or (1 - min(lows)) / 2 or 1e-6
    # The range may end above 1, so that a dot at 1 is not cut off.
    return min(lows) - room, max(highs) + room


def _causes(shown: Sequence[VariationResult]) -> go.Figure:
    causes = dict.fromkeys(
        cause
        for each in shown
        for cause, downtime in each.downtime_by_cause.items()
        if downtime.value
    )
    most = max(each.downtime_s_a_year.value for each in shown)
    unit, length_s = next((name, size) for name, size in _UNITS if most >= 2 * size or size == 1)
    rows = _Rows(shown)
    bars = [
        go.Bar(
            name=html.escape(cause),
            orientation="h",
            x=[_downtime(each, cause).value / length_s for each in shown],
            y=rows.middles,
            width=14,
            marker={"color": _COLOURS[number % len(_COLOURS)], "line": {"width": 0}},
            hovertext=[
                _hover(
                    each.variation.name, f"{cause}: {between_text(_downtime(each, cause))} a year"
                )
                for each in shown
            ],
            hoverinfo="text",
        )
        for number, cause in enumerate(causes)
    ]
    values = [_down(each) for each in shown]
    axis = {"rangemode": "tozero", "nticks": 6, "title": {"text": f"{unit} a year"}}
    layout = _rows_layout(rows, axis, values, legend=len(causes))
    return go.Figure(data=bars, layout={**layout, "barmode": "stack"})


def _downtime(each: VariationResult, cause: str) -> Estimate:
    return each.downtime_by_cause.get(cause, Estimate(value=0.0))


def _outages(shown: Sequence[VariationResult]) -> go.Figure:
    counts = [_counts(each) for each in shown]
    used = [index for each in counts for index, count in enumerate(each) if count]
    first, last = min(used), max(used)
    bins = range(first, last + 1)
    bars = [
        go.Bar(
            name=f"{'best: ' if each.is_best else ''}{_name(each)}",
            x=list(bins),
            y=[count[index] / each.years for index in bins],
            marker={"color": _BEST if each.is_best else _COLOURS[number], "line": {"width": 0}},
            hovertext=[
                _hover(
                    each.variation.name,
                    f"{_bin_text(index)}: {number_text(count[index] / each.years)} a year",
                    f"{count[index]} of {each.outage_lengths.count} outages in all runs",
                )
                for index in bins
            ],
            hoverinfo="text",
        )
        for number, (each, count) in enumerate(zip(shown, counts))
    ]
    legend_px = _LEGEND_LINE * sum(len(_name_lines(each)) for each in shown)
    layout = _layout(270 + legend_px, legend=len(shown))
    layout["xaxis"] = {**_edges_axis(first, last), "showgrid": False, "zeroline": False}
    layout["yaxis"] = {"gridcolor": GRID, "zeroline": False, "rangemode": "tozero", "nticks": 6}
    for axis in ("xaxis", "yaxis"):
        layout[axis].update(fixedrange=True, ticks="outside", tickcolor=GRID)
    layout["margin"].update(l=44, b=34 + legend_px * (len(shown) > 1))
    return go.Figure(data=bars, layout={**layout, "barmode": "group", "bargap": 0.15})


def _edges_axis(first: int, last: int) -> dict[str, Any]:
    """Return the axis with labels at the edges of the bins, as many as fit on a phone."""
    edges = range(first, min(last + 2, len(_EDGES)))
    every = -(-len(edges) // _EDGES_NAMED)
    return {
        "tickvals": [index - 0.5 for index in edges],
        "ticktext": [
            duration_text(_EDGES[index]) if not number % every else ""
            for number, index in enumerate(edges)
        ],
        "tickangle": 0,
    }


def _counts(each: VariationResult) -> list[int]:
    counts = [0] * len(_EDGES)
    for outage in each.outages:
        counts[bisect_right(_EDGES, outage.length_s) - 1] += 1
    return counts


def _bin_text(index: int) -> str:
    if index + 1 == len(_EDGES):
        return f"{duration_text(_EDGES[index])} and longer"
    return f"{duration_text(_EDGES[index])} to {duration_text(_EDGES[index + 1])}"


@attrs.frozen
class _Rows:
    """The positions of the variations' rows, in pixels from the top."""

    shown: Sequence[VariationResult]

    @property
    def names_px(self) -> int:
        """The height of every name: that of the longest one."""
        return _NAME_ROW * max(len(_name_lines(each)) for each in self.shown)

    @property
    def each_px(self) -> int:
        """The height of a row."""
        return self.names_px + _VALUE_ROW + _ROW

    @property
    def bottom_px(self) -> int:
        """The height of all rows."""
        return self.each_px * len(self.shown)

    @property
    def middles(self) -> list[float]:
        """The middle of each row's drawing."""
        above = self.names_px + _VALUE_ROW + _ROW / 2
        return [index * self.each_px + above for index in range(len(self.shown))]

    def texts(self, values: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the name and the value of each variation, placed above its drawing."""
        for index, (each, value) in enumerate(zip(self.shown, values)):
            top = index * self.each_px
            yield _text(top + 4, f"<b>{_name(each)}</b>")
            best = "best: " if each.is_best else ""
            yield _text(top + self.names_px, html.escape(f"{best}{value}"))


def _name_lines(each: VariationResult) -> list[str]:
    """Return the lines of a variation's settings with short keys, or of its name if these clash."""
    settings = {key.rpartition(".")[2]: text for key, text in each.variation.settings.items()}
    is_clear = settings and len(settings) == len(each.variation.settings)
    words = (f"{key}={text}" for key, text in settings.items())
    name = ", ".join(words) if is_clear else each.variation.name
    return textwrap.wrap(name, _NAME_WIDTH, max_lines=_NAME_LINES_MAX, placeholder="...") or [""]


def _name(each: VariationResult) -> str:
    return "<br>".join(html.escape(line) for line in _name_lines(each))


def _hover(*lines: str) -> str:
    return "<br>".join(html.escape(line) for line in lines)


def _layout(height: int, legend: int = 0) -> dict[str, Any]:
    return {
        "template": "none",
        "height": height,
        "margin": {"l": 10, "r": 10, "t": 6, "b": _AXIS},
        "showlegend": legend > 1,
        "legend": LEGEND,
        "hovermode": "closest",
        "dragmode": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12},
        "hoverlabel": {"align": "left", "font": {"size": 12}},
    }


def _rows_layout(
    rows: _Rows, axis: dict[str, Any], values: Sequence[str], legend: int = 0
) -> dict[str, Any]:
    """Return the layout with a row for each variation."""
    # Two entries of the legend fit a line on a phone.
    lines = -(-legend // 2) if legend > 1 else 0
    layout = _layout(rows.bottom_px + _AXIS + 6 + lines * _LEGEND_LINE, legend)
    layout["margin"]["b"] += lines * _LEGEND_LINE
    layout["xaxis"] = {
        "gridcolor": GRID,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": GRID,
        "fixedrange": True,
        "tickangle": 0,
        **axis,
    }
    layout["yaxis"] = {"range": [rows.bottom_px, 0], "visible": False, "fixedrange": True}
    layout["annotations"] = list(rows.texts(values))
    return layout


def _text(y: float, text: str) -> dict[str, Any]:
    return {
        "text": text,
        "showarrow": False,
        "align": "left",
        "xref": "paper",
        "x": 0,
        "xanchor": "left",
        "yref": "y",
        "y": y,
        "yanchor": "top",
        "font": {"size": 12},
    }
