"""The frame of every page: one file with everything in it, which loads nothing else."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from he_fsm.report.extras import check_extra
from he_fsm.report.page_look import SCRIPT, STYLE

if TYPE_CHECKING:
    import plotly.graph_objects as go

HINT = "Point at anything to read more"
# Forbid the browser to load anything, whatever the page holds.
_NOTHING_ELSE = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)


def check_plotly(what: str = "the HTML page") -> None:
    """
    Check that plotly is installed; *what* needs it.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    check_extra(what, "plotly", "report")


def shell(*, command: str, title: str, under: str, parts: Iterable[str]) -> str:
    """
    Return a whole page.

    Args:
        command: the command that made the report, for the heading.
        title: the title of the window, as text.
        under: the line below the heading, as text.
        parts: the content of the page, as HTML.
    """
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - the extra `report`

    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_NOTHING_ELSE}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(command)}: {escape(title)}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            f'<header><h1>{escape(command)}</h1><p class="soft">{escape(under)}</p></header>',
            "<main>",
            *parts,
            "</main>",
            f"<script>{get_plotlyjs()}</script>",
            f"<script>{SCRIPT}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def scenario_link(name: str, text: str) -> str:
    """Return a link that saves a scenario file, which is embedded in the page."""
    data = base64.b64encode(text.encode("utf-8", "replace")).decode()
    file = escape(f"{name}.yaml")
    return f'<a download="{file}" href="data:application/yaml;base64,{data}">{file}</a>'


def figure_element(name: str, drawing: go.Figure, label: str, hint: str = HINT) -> str:
    """
    Return the HTML element of a figure with its data; the page's script draws it.

    Args:
        name: a name that is unique in the page.
        label: the description for people who can't see the figure.
        hint: what people with a mouse can do with the figure.
    """
    # Only a `<` in the data could end the script element, or begin a comment.
    data = str(drawing.to_json(engine="json")).replace("<", "\\u003c")
    height = round(drawing.layout.height)
    return (
        f'<div class="figure" id="{name}" role="img" aria-label="{escape(label)}" '
        f'style="min-height:{height}px"></div>\n'
        f'<p class="hint">{hint}.</p>\n'
        f'<script type="application/json" id="{name}-data">{data}</script>'
    )
