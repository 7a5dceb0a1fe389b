"""The tables of `he-fsm campaign`: the variations, and the causes of downtime."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Callable, Final, Optional

import click

from he_fsm.campaign.results import CampaignResult, Difference, Estimate, VariationResult
from he_fsm.campaign.unseen import Unseen
from he_fsm.document.units import SECONDS_IN, format_number
from he_fsm.words import printable, several

_MINUTE, _HOUR, _DAY, _YEAR = (SECONDS_IN[unit] for unit in "mhdy")
# Up to this many times a unit, the next smaller unit is used: 90 minutes, not 1.5 hours.
_ROOM: Final = 2.0
# Smaller p-values are printed as "less than" this one.
_P_MIN: Final = 0.001
# From here on they are printed as 1.
_P_MAX: Final = 0.995
_UNKNOWN: Final = "-"


def print_result(
    result: CampaignResult,
    written: Mapping[tuple[str, int], Path],
    missing: Sequence[Unseen] = (),
) -> None:
    """
    Print a campaign's result.

    Args:
        written: the scenario files of its worst runs.
        missing: what no run had.
    """
    click.secho(f"Campaign {printable(result.name)}", bold=True)
    if result.about:
        click.echo(printable(result.about))
    if not result.variations:
        click.echo("nothing was played")
        return
    for line in _how_played(result):
        click.echo(line)
    click.echo()
    print_table(_HEADINGS, [_row(each, result.confidence) for each in result.variations])
    click.echo()
    # Of equal ones the first stands for all.
    for each in [each for each in result.variations if each.is_best or each.is_tied][:1]:
        if each.outage_lengths.count:
            _print_causes(each)
    for event in missing:
        click.echo(printable(event.text))
    for each in result.variations:
        for rule in each.broken_rules:
            click.secho(f"BROKEN {rule} in {printable(each.variation.name)}", fg="red", bold=True)
    if written:
        click.echo()
        click.secho("The worst runs, as scenarios", bold=True)
        for run in result.worst(len(written)):
            click.echo(f"  {span(run.downtime_s):>9}  {written[run.key]}")


def _how_played(result: CampaignResult) -> Iterator[str]:
    """Yield what was played, and how precise it is."""
    intervals = f"intervals at {100 * result.confidence:.4g} %"
    precision = result.precision
    if precision is not None and precision.episodes:
        played = several(sum(precision.episodes), "episode")
        yield f"{played} from one quiet moment to the next, drawn by kind and weighed; {intervals}"
    else:
        played = several(sum(len(each.runs) for each in result.variations), "run")
        years = sum(each.years for each in result.variations)
        yield f"{played} of {span(result.horizon_s)}: {years:,.4g} cluster-years, {intervals}"
    if precision is not None:
        found = [each.downtime_s_a_year for each in result.variations]
        widest = max((_part(each) for each in found), default=0.0)
        word = "known" if precision.was_reached else "NOT KNOWN WELL ENOUGH"
        yield (
            f"unavailability {word} to {100 * widest:.2g} %, asked for:"
            f" {100 * precision.asked:.4g} %"
        )
        if precision.why_plain:
            yield f"plain runs were played: {printable(precision.why_plain)}"
        seen = [each.difference.visible_s for each in result.variations if each.difference]
        sizes = [each for each in seen if each is not None]
        if sizes:
            yield f"differences above {span(max(sizes))} a year are seen in four of five campaigns"


def _part(found: Estimate) -> float:
    if found.low is None or found.high is None or not found.value:
        return 0.0
    return (found.high - found.low) / 2 / found.value


_HEADINGS: Final = (
    *("variation", "availability", "downtime a year", "outages", "p50", "p99", "longest"),
    *("starts", "moves", "needless", "more than the best"),
)


def _row(each: VariationResult, confidence: float) -> tuple[str, ...]:
    lengths = each.outage_lengths
    return (
        printable(each.variation.name),
        interval(each.availability, percent),
        interval(each.downtime_s_a_year, span),
        format_number(round(each.outages_a_year.value, 2)),
        *(span(seconds) for seconds in (lengths.p50_s, lengths.p99_s, lengths.longest_s)),
        *(
            format_number(round(rate.value, 2))
            for rate in (each.starts_a_year, each.migrations_a_year, each.needless_moves_a_year)
        ),
        _place(each, confidence),
    )


def _place(each: VariationResult, confidence: float) -> str:
    if each.is_tied:
        return "tied: no difference seen"
    return "best" if each.is_best else _verdict(each.difference, confidence)


def _verdict(difference: Optional[Difference], confidence: float) -> str:
    if difference is None:
        return _UNKNOWN
    if difference.p_value >= _P_MAX:
        return f"no difference seen ({chance(difference.p_value)})"
    word = "real" if difference.is_real else f"not real at {100 * confidence:.4g} %"
    return f"{span(difference.downtime_s_a_year.value)}, {word} ({chance(difference.p_value)})"


def _print_causes(best: VariationResult) -> None:
    total = best.downtime_s_a_year.value
    click.secho(f"Downtime a year by cause: {printable(best.variation.name)}", bold=True)
    rows = [
        (
            printable(cause),
            interval(seconds, span),
            f"{seconds.value / total:.0%}" if total else _UNKNOWN,
        )
        for cause, seconds in best.downtime_by_cause.items()
    ]
    print_table(("cause", "downtime a year", "share"), rows)


def chance(p_value: float) -> str:
    """Return a probability as text."""
    return f"p < {_P_MIN}" if p_value < _P_MIN else f"p = {p_value:.2g}"


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their headings; on a narrow terminal, print each row as a block."""
    widths = [max(map(len, column)) for column in zip(headings, *rows)]
    whole = sum(widths) + 2 * len(widths)
    if sys.stdout.isatty() and whole > shutil.get_terminal_size().columns:
        _print_blocks(headings, rows)
        return
    for row in (headings, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths)]
        line = "  ".join(cells).rstrip()
        click.secho(f"  {line}", bold=row is headings or row[-1] == "best")


def _print_blocks(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    _, *names = headings
    width = max(map(len, names))
    for first, *cells in rows:
        click.secho(f"  {first}", bold=True)
        for name, cell in zip(names, cells):
            if cell:
                click.echo(f"    {name:<{width}}  {cell}")


def interval(found: Estimate, words: Callable[[float], str]) -> str:
    """Return a mean as text, with its interval if that is known."""
    if found.low is None or found.high is None:
        return words(found.value)
    return f"{words(found.value)} ({words(found.low)} to {words(found.high)})"


def percent(fraction: float) -> str:
    """Return an availability as text: `99.9871 %`."""
    return f"{100 * fraction:.4f} %"


def span(seconds: float) -> str:
    """Return a duration as text, with about three digits: `59.3 s`, `107 min`, `4.2 h`."""
    size = abs(seconds)
    for unit, length, following in (
        ("s", 1.0, _MINUTE),
        ("min", _MINUTE, _HOUR),
        ("h", _HOUR, _DAY),
    ):
        if size < _ROOM * following:
            return f"{seconds / length:.3g} {unit}"
    amount, unit = (size / _DAY, "d") if size < _ROOM * _YEAR else (size / _YEAR, "y")
    number = f"{amount:,.0f}" if amount >= 1000 else f"{amount:.4g}"
    return f"{'-' if seconds < 0 else ''}{number} {unit}"
