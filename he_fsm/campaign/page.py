"""The page of a campaign: each variation's availability, causes of downtime, the worst runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Final

from he_fsm.campaign.page_words import (
    availability_text,
    between_text,
    duration_text,
    interval_text,
    number_text,
)
from he_fsm.campaign.results import CampaignResult, RunResult, VariationResult
from he_fsm.report.files import write_whole
from he_fsm.report.page_lanes import clock_text
from he_fsm.report.shell import check_plotly, figure_element, scenario_link, shell

COMMAND: Final = "he-fsm campaign"
# How many of the worst runs a page shows.
WORST: Final = 10
Scenarios = Mapping[tuple[str, int], str]


def write_campaign_page(result: CampaignResult, path: Path, scenarios: Scenarios) -> None:
    """
    Write the page of a campaign to a file, which is replaced atomically.

    Raises:
        MissingExtraError: plotly is not installed.
        HeFsmError: the file can't be written; an old file is unchanged.
    """
    write_whole(path, campaign_page(result, scenarios).encode("utf-8", "replace"))


def campaign_page(result: CampaignResult, scenarios: Scenarios) -> str:
    """
    Return a campaign as one HTML page that loads nothing else; equal results give equal text.

    Args:
        scenarios: the scenario files of the worst runs, by the run's key. The page embeds them, so
            that they can be saved and replayed. Runs without one are listed as well.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    check_plotly()
    parts = [
        _answer(result),
        *_figures(result),
        _table(result.variations),
        _worst(result, scenarios),
    ]
    return shell(
        command=COMMAND, title=result.name, under=_extent(result), parts=filter(None, parts)
    )


def _extent(result: CampaignResult) -> str:
    runs = sum(len(each.runs) for each in result.variations)
    years = sum(each.years for each in result.variations)
    names = len(result.variations)
    text = (
        f"{names} variation{'' if names == 1 else 's'}, {runs} runs of"
        f" {duration_text(result.horizon_s)}: {number_text(years)} cluster-years"
    )
    return text if result.is_complete else f"{text}; stopped before its end"


def _answer(result: CampaignResult) -> str:
    """Return the result of the campaign in words."""
    about = f"<p>{escape(result.about)}</p>" if result.about else ""
    broken = sorted({rule for each in result.variations for rule in each.broken_rules})
    alarm = (
        f'<p class="verdict failed">Broken in some run: {escape(", ".join(broken))}</p>'
        if broken
        else ""
    )
    return (
        f'<section class="part"><h2>{escape(result.name)}</h2>{about}{alarm}'
        f"{_best(result)}</section>"
    )


def _best(result: CampaignResult) -> str:
    best = result.best
    if result.tied:
        return _tied(result)
    if best is None:
        return '<p class="soft">Nothing has run yet.</p>'
    where = "" if len(result.variations) == 1 else f" with {best.variation.name}"
    facts = (
        f"{availability_text(best.availability)} available{where}: down"
        f" {between_text(best.downtime_s_a_year)} a year."
    )
    return f"<p><b>{escape(facts)}</b> {escape(_against(result))}</p>"


def _tied(result: CampaignResult) -> str:
    first, *_ = tied = result.tied
    facts = (
        f"{availability_text(first.availability)} available: down"
        f" {between_text(first.downtime_s_a_year)} a year with {len(tied)} of"
        f" {len(result.variations)} variations; no difference between them was seen."
    )
    return f"<p><b>{escape(facts)}</b></p>"


def _against(result: CampaignResult) -> str:
    """Say how many variations are certainly worse than the best one."""
    others = [each.difference for each in result.variations if each.difference is not None]
    if not others:
        return ""
    real = sum(each.is_real for each in others)
    if real == len(others):
        return f"Better than every other one; that is no chance ({result.confidence:.0%})."
    if not real:
        return f"No other one is certainly worse ({result.confidence:.0%})."
    return (
        f"Of the {len(others)} others {real} {'is' if real == 1 else 'are'} certainly worse"
        f" ({result.confidence:.0%}); the rest may be as good."
    )


def _figures(result: CampaignResult) -> Iterator[str]:
    from he_fsm.campaign.page_figures import (  # noqa: PLC0415 - the extra `report`
        VARIATIONS_MAX,
        figures,
    )

    for figure in figures(result):
        element = figure_element(f"figure-{figure.name}", figure.drawing, figure.title)
        yield f'<section class="part"><h2>{escape(figure.title)}</h2>{element}</section>'
    left_out = len(result.variations) - VARIATIONS_MAX
    if left_out > 0:
        yield f'<p class="soft">The {left_out} worst variations are in the table alone.</p>'


_NUMBER: Final = ' class="number"'
_TEXT: Final = ' class="text"'
# Each column, and whether it has numbers.
_COLUMNS: Final = {
    "variation": _TEXT,
    "runs": _NUMBER,
    "availability": _NUMBER,
    "down a year": _NUMBER,
    "against the best": _TEXT,
    **dict.fromkeys(("outages a year", "outage p50", "p99", "longest"), _NUMBER),
    **dict.fromkeys(("starts a year", "moves a year", "needless"), _NUMBER),
}


def _table(variations: Iterable[VariationResult]) -> str:
    heads = "".join(f"<th{look}>{name}</th>" for name, look in _COLUMNS.items())
    rows = "\n".join(_row(each) for each in variations)
    return (
        '<section class="part long"><h2>Variations</h2><div class="wide"><table class="figures">'
        f"<thead><tr>{heads}</tr></thead><tbody>\n{rows}\n</tbody></table></div></section>"
    )


def _row(each: VariationResult) -> str:
    lengths = each.outage_lengths
    best = ' <span class="verdict passed">best</span>' if each.is_best else ""
    cells = (
        f"{_settings(each.variation.name)}{best}",
        str(len(each.runs)),
        f"{availability_text(each.availability)}<br>{_small(interval_text(each.availability))}",
        duration_text(each.downtime_s_a_year.value),
        _difference(each),
        number_text(each.outages_a_year.value),
        *(duration_text(length) for length in (lengths.p50_s, lengths.p99_s, lengths.longest_s)),
        number_text(each.starts_a_year.value),
        number_text(each.migrations_a_year.value),
        number_text(each.needless_moves_a_year.value),
    )
    looks = _COLUMNS.values()
    return f"<tr>{''.join(f'<td{look}>{cell}</td>' for look, cell in zip(looks, cells))}</tr>"


def _settings(name: str) -> str:
    """Return a variation's name as HTML: a line for each setting, broken only between words."""
    return re.sub(r"([._=])(?=[a-z])", r"\1<wbr>", escape(name)).replace(", ", ",<br>")


def _small(text: str) -> str:
    return f'<span class="soft">{escape(text)}</span>'


def _difference(each: VariationResult) -> str:
    difference = each.difference
    if difference is None:
        return ""
    more = duration_text(difference.downtime_s_a_year.value)
    word = "certainly worse" if difference.is_real else "may be chance"
    return f"{more} more<br>{_small(f'{word}, p = {difference.p_value:.2g}')}"


def _worst(result: CampaignResult, scenarios: Scenarios) -> str:
    runs = [run for run in result.worst(WORST) if run.outages]
    if not runs:
        return ""
    rows = "\n".join(_worst_row(result, run, scenarios.get(run.key)) for run in runs)
    hint = (
        '<p class="soft">Save a run, and replay it: he-fsm simulate FILE --html page.html</p>'
        if any(run.key in scenarios for run in runs)
        else ""
    )
    return (
        f'<section class="part"><h2>The worst runs</h2>{hint}<div class="wide">'
        f'<table class="figures"><thead><tr>'
        f"<th>variation</th><th{_NUMBER}>seed</th><th{_NUMBER}>down</th>"
        f"<th{_NUMBER}>longest outage</th><th>its cause</th><th{_NUMBER}>at</th><th>replay</th>"
        f"</tr></thead><tbody>\n{rows}\n</tbody></table></div></section>"
    )


def _worst_row(result: CampaignResult, run: RunResult, scenario: str | None) -> str:
    longest = max(run.outages, key=lambda outage: outage.length_s)
    return (
        f"<tr><td{_TEXT}>{_settings(run.variation)}</td><td{_NUMBER}>{run.seed}</td>"
        f"<td{_NUMBER}>{duration_text(run.downtime_s)}</td>"
        f"<td{_NUMBER}>{duration_text(longest.length_s)}</td><td>{escape(longest.cause)}</td>"
        f"<td{_NUMBER}>{clock_text(longest.start_s)}</td>"
        f"<td>{'' if scenario is None else scenario_link(result.scenario_name(run), scenario)}</td>"
        "</tr>"
    )
