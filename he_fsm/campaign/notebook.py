"""What Jupyter shows of a campaign: a table without scripts or anything loaded."""

from __future__ import annotations

from html import escape

from he_fsm.campaign.page_words import (
    availability_text,
    between_text,
    duration_text,
    interval_text,
    number_text,
)
from he_fsm.campaign.results import CampaignResult, VariationResult
from he_fsm.report.html import as_html
from he_fsm.report.notebook import SOFT, verdict_html

# Of more variations the best ones are shown.
_SHOWN_MAX = 30
_BEST, _BROKEN = "#2f9e62", "#d4364b"
# Jupyter has cells on the right and heads wherever its theme wants them: each says it itself.
_TEXT, _NUMBER = "text-align:left", "text-align:right"
_HEADS = {
    "variation": _TEXT,
    **dict.fromkeys(("runs", "availability", "down a year", "outages a year", "longest"), _NUMBER),
    "causes": _TEXT,
}
_CAUSES = 3


@as_html.register(CampaignResult)
def campaign_html(result: CampaignResult) -> str:
    """Show a campaign: each variation's availability, downtime and why."""
    by_downtime = sorted(result.variations, key=lambda each: each.downtime_s_a_year.value)
    kept = {each.variation.name for each in by_downtime[:_SHOWN_MAX]}
    rows = "".join(_row(each) for each in result.variations if each.variation.name in kept)
    heads = "".join(f'<th style="{look}">{head}</th>' for head, look in _HEADS.items())
    about = f"<div>{escape(result.about)}</div>" if result.about else ""
    left_out = len(by_downtime) - len(kept)
    note = f'<div style="{SOFT}">{left_out} worse ones are not shown.</div>' if left_out else ""
    return (
        f"<div><div><b>{escape(result.name)}</b></div>{about}"
        f'<table style="color:inherit"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
        f"{note}</div>"
    )


def _row(each: VariationResult) -> str:
    marks = verdict_html("best", _BEST) if each.is_best else ""
    marks += "".join(verdict_html(f"broken: {rule}", _BROKEN) for rule in each.broken_rules)
    causes = ", ".join(
        f"{cause} {duration_text(downtime.value)}"
        for cause, downtime in list(each.downtime_by_cause.items())[:_CAUSES]
        if downtime.value
    )
    interval = f'<div style="{SOFT}">{interval_text(each.availability)}</div>'
    cells = (
        f"{escape(each.variation.name)} {marks}",
        str(len(each.runs)),
        f"{availability_text(each.availability)}{interval}",
        between_text(each.downtime_s_a_year),
        number_text(each.outages_a_year.value),
        duration_text(each.outage_lengths.longest_s),
        escape(causes),
    )
    looks = _HEADS.values()
    row = (f'<td style="{look}">{cell}</td>' for look, cell in zip(looks, cells))
    return f"<tr>{''.join(row)}</tr>"
