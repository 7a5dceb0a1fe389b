"""Pages and pictures of runs: the options for them, and writing them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

import attrs
import click

from he_fsm.report.files import check_place
from he_fsm.report.outcome import Outcome

Command = TypeVar("Command", bound=Callable[..., Any])


def drawing_options(page: str) -> Callable[[Command], Command]:
    """Add `--html`, `--png` and `--svg`. *page* describes the page in the help."""

    def add(command: Command) -> Command:
        for kind in ("svg", "png"):
            command = click.option(
                f"--{kind}",
                type=click.Path(file_okay=False, path_type=Path),
                metavar="DIR",
                help=f"Write each figure as {kind.upper()} to this folder.",
            )(command)
        return click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help=page)(
            command
        )

    return add


@attrs.frozen
class Drawings:
    """The files and folders that these options name; None for options that are absent."""

    html: Optional[Path]
    png: Optional[Path]
    svg: Optional[Path]

    @property
    def folders(self) -> dict[str, Optional[Path]]:
        """Return the folder for the pictures of each kind."""
        return {"png": self.png, "svg": self.svg}

    def check(self) -> None:
        """
        Check that everything needed is installed, before a run that may take hours.

        Raises:
            MissingExtraError: A package is not installed.
            HeFsmError: The page's folder does not exist.
        """
        if self.html is not None:
            from he_fsm.report.shell import check_plotly  # noqa: PLC0415 - imports plotly

            check_plotly()
            check_place(self.html)
        if any(self.folders.values()):
            from he_fsm.report.pictures import check_pictures  # noqa: PLC0415 - imports kaleido

            check_pictures()

    def write(self, outcomes: Sequence[Outcome], command: str) -> None:
        """
        Write the page and the pictures of some runs. *command* is the command that ran them.

        Raises:
            HeFsmError: A file can't be written, or the browser that draws the pictures fails.
        """
        if self.html is not None:
            from he_fsm.report.page import write_page  # noqa: PLC0415 - needs the extra `report`

            write_page(outcomes, self.html, command)
        if any(self.folders.values()):
            from he_fsm.report.pictures import timelines, write_pictures  # noqa: PLC0415 - as above

            write_pictures(timelines(outcomes), self.folders)
