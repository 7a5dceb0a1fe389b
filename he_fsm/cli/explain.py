"""`he-fsm explain`: the table in words."""

from __future__ import annotations

from typing import Optional

import click

from he_fsm.states.diagram import explain as edges_of
from he_fsm.states.names import State


def _known(_ctx: click.Context, _param: click.Parameter, value: Optional[str]) -> Optional[State]:
    """Return the state of this name, in upper or lower case."""
    if value is None:
        return None
    for state in State:
        if state.value.lower() == value.lower():
            return state
    names = ", ".join(f"'{state.value}'" for state in State)
    msg = f"'{value}' is not one of {names}."
    raise click.BadParameter(msg)


@click.command()
@click.option(
    "--state",
    callback=_known,
    metavar="NAME",
    help="Only this state; all where not given.",
)
def explain(state: Optional[State]) -> None:
    """
    List the declared edges out of a state, with their conditions in words.

    The edges are tried in this order; the first whose condition holds is taken.
    """
    asked = [each for each in State if state is None or each is state]
    for number, each in enumerate(asked):
        if number:
            click.echo()
        click.secho(f"{each.value}: {each.meaning}", bold=True)
        for line in edges_of(each):
            click.echo(f"  {line}")
