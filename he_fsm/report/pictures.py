"""Figures as files for documents: PNG or SVG, on white, each with its title and legend."""

from __future__ import annotations

import copy
import html
import importlib
import logging
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Optional

import attrs

from he_fsm.errors import HeFsmError, MissingExtraError
from he_fsm.report.extras import check_extra
from he_fsm.report.files import write_whole
from he_fsm.report.outcome import Outcome
from he_fsm.report.page_lanes import lanes
from he_fsm.report.page_look import LEGEND, MARKS

if TYPE_CHECKING:
    import plotly.graph_objects as go

# The width in pixels fits a sheet of paper at 150 dpi. A PNG has two dots for each pixel.
_WIDTH, _SCALE = 1000, 2
_TITLE, _LEGEND_LINE, _LEGEND_ENTRY = 40, 21, 250
_TEXT = "#26313d"
_MEANINGS: Final = {"held": "holds the lease", **{kind: m.meaning for kind, m in MARKS.items()}}
_UNNAMED: Final = ("score in numbers",)
_NAME_MAX: Final = 100
# On a busy machine kaleido 1.5.0 asks its page to draw before the page has loaded its script.
_TOO_SOON: Final = "kaleido_scopes is not defined"
_TRIES: Final = 3


@attrs.frozen(kw_only=True)
class Picture:
    """A figure for a file. `name`: the file's name without its suffix."""

    name: str
    title: str
    drawing: go.Figure


def write_pictures(pictures: Iterable[Picture], folders: Mapping[str, Optional[Path]]) -> None:
    """
    Write figures to folders, which are made if need be; each file is replaced atomically.

    Args:
        folders: the folder of each kind of file, `png` or `svg`; None: write none of this kind.

    Raises:
        MissingExtraError: kaleido is not installed, or it finds no Chrome or Chromium.
        HeFsmError: a file can't be written, or the browser fails.
    """
    kaleido = _kaleido()
    shown = list(pictures)
    wanted = [
        (picture, f"{picture.name}.{kind}", folder)
        for kind, folder in folders.items()
        if folder is not None
        for picture in shown
    ]
    if not wanted:
        return
    try:
        for folder in filter(None, folders.values()):
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="he-fsm-") as made:
            orders = [_order(picture, Path(made) / name) for picture, name, _ in wanted]
            _draw(kaleido, orders)
            for _, name, folder in wanted:
                write_whole(folder / name, (Path(made) / name).read_bytes())
    except kaleido.errors.ChromeNotFoundError as error:
        msg = "pictures need Chrome or Chromium; install the system's package chromium"
        raise MissingExtraError(msg) from error
    except OSError as error:
        # Errors of a library have neither.
        what, why = error.filename or "pictures", error.strerror or error
        msg = f"can't write {what}: {why}"
        raise HeFsmError(msg) from error
    # The browser's errors have no class in common.
    except Exception as error:
        if isinstance(error, HeFsmError):
            raise
        msg = f"the browser can't draw the pictures: {_first_sentence(error)}"
        raise HeFsmError(msg) from error


def _draw(kaleido: Any, orders: Sequence[Mapping[str, Any]]) -> None:
    """Have one browser draw all pictures; whatever fails is raised."""
    for tries_left in reversed(range(_TRIES)):
        try:
            # Without mathjax the browser loads nothing from outside.
            kaleido.write_fig_from_object_sync(
                orders, kopts={"mathjax": False}, cancel_on_error=True
            )
        # The browser's errors have no class in common.
        except Exception as error:
            if not tries_left or _TOO_SOON not in _first_sentence(error):
                raise
        else:
            return


def check_pictures() -> None:
    """
    Check that the packages that draw pictures are installed; the browser is not checked.

    Raises:
        MissingExtraError: plotly or kaleido is not installed.
    """
    for package in ("plotly", "kaleido"):
        check_extra("a picture", package, "pictures")


def _kaleido() -> Any:
    check_pictures()
    kaleido = importlib.import_module("kaleido")
    importlib.import_module("kaleido.errors")
    # Whatever it logs is also raised.
    logging.getLogger("choreographer").setLevel(logging.CRITICAL)
    return kaleido


def _first_sentence(error: Exception) -> str:
    """Return the first line of an error's message; some errors nest their messages in tuples."""
    said: Any = error
    while isinstance(said, (BaseException, tuple)):
        parts = said.args if isinstance(said, BaseException) else said
        said = parts[0] if parts else type(error).__name__
    return str(said).partition("\n")[0]


def _order(picture: Picture, path: Path) -> dict[str, Any]:
    """Return kaleido's order: what to draw, in which size, and to which file."""
    drawing = on_paper(picture)
    scale = _SCALE if path.suffix == ".png" else 1
    size = {"width": _WIDTH, "height": drawing.layout.height, "scale": scale}
    return {
        "fig": drawing.to_plotly_json(),
        "path": str(path),
        "opts": {"format": path.suffix[1:], **size},
    }


def on_paper(picture: Picture) -> go.Figure:
    """Return the figure in the form for documents: on white, with title and legend."""
    drawing = copy.deepcopy(picture.drawing)
    entries = 0
    named: set[str] = set()
    for trace in drawing.data:
        is_first = trace.name not in named and trace.name not in _UNNAMED and bool(trace.name)
        named.add(trace.name)
        trace.showlegend = is_first
        trace.name = _MEANINGS.get(trace.name, trace.name)
        entries += is_first
    margin, height = drawing.layout.margin, drawing.layout.height
    # A figure that has a legend of its own has room for it.
    lines = 0 if drawing.layout.showlegend else 1 - (-entries // (_WIDTH // _LEGEND_ENTRY))
    drawing.update_layout(
        title={"text": f"<b>{html.escape(picture.title)}</b>", "font": {"size": 16}},
        paper_bgcolor="#ffffff",
        font={"color": _TEXT, "family": "sans-serif"},
        height=height + _TITLE + lines * _LEGEND_LINE,
        margin={"t": margin.t + _TITLE, "b": margin.b + lines * _LEGEND_LINE},
        showlegend=entries > 1,
        legend=LEGEND,
    )
    drawing.layout.title.update(x=0, xanchor="left", xref="paper", yref="container", y=1)
    drawing.layout.title.update(yanchor="top", pad={"t": 12})
    return drawing


def timelines(outcomes: Sequence[Outcome]) -> Iterator[Picture]:
    """
    Return the figure of each outcome, the same as on its page.

    Raises:
        MissingExtraError: plotly or kaleido is not installed.
    """
    check_pictures()
    from he_fsm.report.page_figure import figure  # noqa: PLC0415 - the extra `report`

    taken: set[str] = set()
    for outcome in outcomes:
        scenario = outcome.scenario
        drawing = figure(lanes(outcome)[0], scenario.until, scenario.policy.score_max)
        name = _file_name(scenario.name, taken)
        yield Picture(name=name, title=scenario.name, drawing=drawing)


def _file_name(text: str, taken: set[str]) -> str:
    """Return a file name that is valid on every file system, and not taken yet."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:_NAME_MAX] or "scenario"
    number, name = 1, plain
    while name.lower() in taken:
        number += 1
        name = f"{plain}-{number}"
    taken.add(name.lower())
    return name
