"""Options of `he-fsm simulate`: a start from a real whiteboard, and faults without a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

import attrs
import click

from he_fsm.cli.blocks import printable
from he_fsm.cli.whiteboard import whiteboard_bytes
from he_fsm.document.files import read_text
from he_fsm.document.nodes import Place, refused_as
from he_fsm.errors import ScenarioError
from he_fsm.metadata import Whiteboard
from he_fsm.scenario import Scenario, parse_scenarios
from he_fsm.scenario.additions import NOTHING_ADDED, Additions, timeline_entry
from he_fsm.scenario.captured import capture
from he_fsm.scenario.sight import Sight, sight_of

Command = TypeVar("Command", bound=Callable[..., Any])

# The scenario that is played where no file is named.
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
    """What these options add to scenarios; `notes` say what was assumed."""

    additions: Additions
    notes: tuple[str, ...] = ()
    whiteboard: Optional[Path] = None

    def say(self) -> None:
        """Say on standard error what was assumed."""
        for note in self.notes:
            click.echo(f"note: {printable(note)}", err=True)

    def scenario(self, overrides: dict[str, str]) -> Scenario:
        """Give the scenario that needs no file: the captured cluster, and the faults."""
        name = str(self.whiteboard)
        about = {"name": NAME, "about": f"The cluster of the whiteboard {name}."}
        text = json.dumps({"scenarios": [about]})
        (scenario,) = parse_scenarios(text, name, overrides, self.additions)
        return attrs.evolve(scenario, place=Place(name))


def what_if(
    whiteboard: Optional[Path], status: Optional[Path], faults: tuple[tuple[str, str], ...]
) -> WhatIf:
    """
    Read what the options name.

    Raises:
        ScenarioError: a file can't be used, or a fault can't be understood.
    """
    with refused_as(ScenarioError):
        timeline = tuple(timeline_entry(at, text) for at, text in faults)
    if whiteboard is None:
        if status is not None:
            msg = "--status goes with --from-whiteboard"
            raise click.UsageError(msg)
        return WhatIf(attrs.evolve(NOTHING_ADDED, timeline=timeline))
    sight = None if status is None else _sight(status)
    captured = capture(Whiteboard.parse(whiteboard_bytes(whiteboard)), sight)
    if not captured.keys["hosts"]:
        msg = f"{whiteboard}: no slot holds a host that can be believed (he-fsm whiteboard show)"
        raise ScenarioError(msg)
    additions = Additions.beginning(captured.keys, str(whiteboard), timeline)
    return WhatIf(additions, captured.notes, whiteboard)


def _sight(path: Path) -> Sight:
    with refused_as(ScenarioError):
        text = read_text(path)
    try:
        status = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"{path}: can't be read as JSON: {error}"
        raise ScenarioError(msg) from error
    return sight_of(status, str(path))
