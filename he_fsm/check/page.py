"""The page of a counterexample: the broken property, the run to it, and the nearest timeline."""

from __future__ import annotations

from html import escape
from pathlib import Path

from he_fsm.check.counterexample import Counterexample
from he_fsm.check.result import Verdict
from he_fsm.report.page import Lead, write_page
from he_fsm.report.shell import scenario_link

COMMAND = "he-fsm check"


def write_counterexample(verdict: Verdict, found: Counterexample, path: Path) -> None:
    """
    Write the page of a broken property to a file, which is replaced atomically.

    Raises:
        MissingExtraError: plotly is not installed.
        HeFsmError: the file can't be written; an old file is unchanged.
    """
    prop = verdict.prop
    link = scenario_link(found.outcome.scenario.name, found.text)
    part = "\n".join(
        [
            '<section class="part">',
            f'<div class="title"><h2>{escape(prop.meaning)}</h2>',
            '<span class="verdict failed">broken</span></div>',
            f"<p>Seen: {escape(verdict.seen)}.</p>",
            "<h3>Loop by loop</h3>",
            f'<pre class="story">{escape(chr(10).join(found.told))}</pre>',
            f'<p class="soft">{escape(found.shown)}</p>',
            f"<p>Save it, and replay it with he-fsm simulate or he-fsm rehearse: {link}</p>",
            "</section>",
        ]
    )
    lead = Lead(
        under=f"Broken: {prop.value}",
        part=part,
        badge="shows it" if found.is_reproduced else "does not show it",
        is_bad=found.is_reproduced,
    )
    write_page([found.outcome], path, COMMAND, lead)
