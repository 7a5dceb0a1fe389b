"""`he-fsm diagram`: the state machine, drawn from its table."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click

from he_fsm.errors import HeFsmError, MissingExtraError
from he_fsm.states.diagram import FORMATS
from he_fsm.states.diagram import diagram as draw

_DRAWN = ("svg", "png")


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice([*FORMATS, *_DRAWN]),
    default="dot",
    show_default=True,
    help="dot, mermaid and table are text; svg and png need Graphviz.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file instead of standard output.",
)
def diagram(form: str, output: Optional[Path]) -> None:
    """Draw the state machine from its table."""
    data = _drawn(form) if form in _DRAWN else draw(form).encode()
    if output is None:
        click.echo(data, nl=False)
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        msg = f"can't write {output}: {error.strerror}"
        raise HeFsmError(msg) from error


def _drawn(form: str) -> bytes:
    try:
        import graphviz  # noqa: PLC0415 - an extra, loaded only for pictures
    except ImportError as error:
        raise MissingExtraError.of(error.name, "diagram", "drawing") from error
    try:
        return bytes(graphviz.Source(draw("dot")).pipe(format=form))
    except graphviz.ExecutableNotFound as error:
        msg = "drawing needs the program dot: install the operating system's package graphviz"
        raise MissingExtraError(msg) from error
