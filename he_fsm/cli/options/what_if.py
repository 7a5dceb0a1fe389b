"""Options of `he-fsm simulate`: a start from a real whiteboard, and faults without a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

import attrs
import click

from he_fsm.cli.output.blocks import status_block
from he_fsm.cli.whiteboard import whiteboard_bytes
from he_fsm.document.files import read_text
from he_fsm.document.nodes import Place, refused_as
from he_fsm.errors import ScenarioError
from he_fsm.metadata import Whiteboard
from he_fsm.scenario import Scenario, parse_scenarios
from he_fsm.scenario.beginning.captured import capture
from he_fsm.scenario.beginning.sight import Sight, sight_of
from he_fsm.scenario.language.additions import NOTHING_ADDED, Additions, timeline_entry
from he_fsm.words import printable

Command = TypeVar("Command", bound=Callable[..., Any])

# The name of the scenario that is used when no file is given.
NAME = "what-if"


def what_if_options(command: Command) -> Command:
    """Add `--from-whiteboard`, `--status` and `--at`."""
    command = click.option(
        "--at",
        "faults",
        type=(str, str),
        multiple=True,
        metavar="TIME FAULT",
        help="Add to the timeline, like --at 60s 'host: 1, power: off'; repeatable.",
    )(command)
    command = click.option(
        "--status",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="What `he-fsm status --json`, or oVirt's --vm-status --json, said with it.",
    )(command)
    return click.option(
        "--from-whiteboard",
        "whiteboard",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Begin with the cluster that this copy of a whiteboard shows.",
    )(command)


@attrs.frozen
class WhatIf:
    """The additions of these options to scenarios; `notes` report the assumptions."""

    additions: Additions
    notes: tuple[str, ...] = ()
    whiteboard: Optional[Path] = None
    # The administrator's own board, block by block, by host id.
    board: Mapping[int, Sequence[str]] = attrs.field(factory=dict)

    def say(self) -> None:
        """Report the assumptions on standard error."""
        for note in self.notes:
            click.echo(f"note: {printable(note)}", err=True)

    def scenario(self, overrides: dict[str, str]) -> Scenario:
        """Return the scenario that needs no file: the captured cluster and the faults."""
        name = str(self.whiteboard)
        about = {"name": NAME, "about": f"The cluster of the whiteboard {name}."}
        text = json.dumps({"scenarios": [about]})
        (scenario,) = parse_scenarios(text, name, overrides, self.additions)
        return attrs.evolve(scenario, place=Place(name))


def what_if(
    whiteboard: Optional[Path], status: Optional[Path], faults: tuple[tuple[str, str], ...]
) -> WhatIf:
    """
    Read the files and faults that the options name.

    Raises:
        ScenarioError: A file is invalid, or a fault can't be parsed.
    """
    with refused_as(ScenarioError):
        timeline = tuple(timeline_entry(at, text) for at, text in faults)
    if whiteboard is None:
        if status is not None:
            msg = "--status goes with --from-whiteboard"
            raise click.UsageError(msg)
        return WhatIf(attrs.evolve(NOTHING_ADDED, timeline=timeline))
    sight = None if status is None else _sight(status)
    seen = Whiteboard.parse(whiteboard_bytes(whiteboard))
    captured = capture(seen, sight)
    if not captured.keys["hosts"]:
        msg = f"{whiteboard}: no slot holds a host that can be believed (he-fsm whiteboard show)"
        raise ScenarioError(msg)
    additions = Additions.beginning(captured.keys, str(whiteboard), timeline)
    alive = None if sight is None else sight.alive
    board = {
        number: status_block(record, alive=None if alive is None else number in alive)
        for number, record in seen.records.items()
    }
    return WhatIf(additions, captured.notes, whiteboard, board)


def _sight(path: Path) -> Sight:
    with refused_as(ScenarioError):
        text = read_text(path)
    try:
        status = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"{path}: can't be read as JSON: {error}"
        raise ScenarioError(msg) from error
    return sight_of(status, str(path))
