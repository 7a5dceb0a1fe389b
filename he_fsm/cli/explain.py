"""`he-fsm explain`: the table in words."""

from __future__ import annotations

from typing import Optional

import click

from he_fsm.diagram import explain as edges_of
from he_fsm.states.names import State


@click.command()
@click.option(
    "--state",
    type=click.Choice([state.value for state in State], case_sensitive=False),
    help="Only this state; all where not given.",
)
def explain(state: Optional[str]) -> None:
    """
    List the declared edges out of a state, with their conditions in words.

    The edges are tried in this order; the first whose condition holds is taken.
    """
    asked = [each for each in State if state is None or each.value == state]
    for number, each in enumerate(asked):
        if number:
            click.echo()
        click.secho(f"{each.value}: {each.meaning}", bold=True)
        for line in edges_of(each):
            click.echo(f"  {line}")
