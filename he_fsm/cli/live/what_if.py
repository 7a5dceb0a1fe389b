"""`he-fsm what-if`: ask the simulator about the live cluster; nothing on it is touched."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import click

from he_fsm.cli.broker import broker_option
from he_fsm.cli.live.seen import read, say_assumptions
from he_fsm.cli.options.common import json_option, set_option, settings_of
from he_fsm.cli.output.progress import late_bar
from he_fsm.live.forecast import Forecast
from he_fsm.live.losses import Question, losses
from he_fsm.live.what_if import predict
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.words import printable, several, span_text


@click.command("what-if")
@click.argument("faults", nargs=-1, metavar="FAULT...")
@broker_option
@click.option(
    "--any",
    "asks_any",
    is_flag=True,
    help="Ask about the loss of each host, of the gateway and of the storage.",
)
@click.option("--at", default="0s", show_default=True, metavar="TIME", help="When it happens.")
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    metavar="N",
    help="So many runs, each with other phases of loops and lease renewals.",
)
@set_option("world.vm_boot=90s")
@json_option
def what_if(  # noqa: PLR0913 - one for each option
    faults: tuple[str, ...],
    broker: BrokerClient,
    asks_any: bool,
    at: str,
    seeds: int,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """
    Predict what a fault would do to this cluster, as it is now.

    A FAULT is an entry of a scenario's timeline without its time, like 'host: 1, power: off'.
    Whiteboard, leases and policy are read; then the simulator plays from there. Nothing on the
    cluster is touched.

    Exit status: 0 the engine comes back in every run; 1 it does not; 2 the question or the cluster
    can't be read.
    """
    if asks_any == bool(faults):
        msg = "say what happens, like 'host: 1, power: off', or --any"
        raise click.UsageError(msg)
    seen = read(broker)
    say_assumptions(seen)
    questions = list(losses(seen.living)) if asks_any else [_asked(faults, at)]
    overrides = settings_of(settings)
    scenarios = [seen.scenario(question.faults, overrides) for question in questions]
    found = []
    with late_bar("simulating") as show:
        for number, (question, scenario) in enumerate(zip(questions, scenarios)):
            so_far = _share_of(show, number, len(questions))
            found.append(predict(question.text, scenario, seeds, so_far))
    if as_json:
        plain = {"runs": seeds, "questions": [each.as_json() for each in found]}
        click.echo(json.dumps(plain, indent=2))
    else:
        _show(found, seeds, scenarios[0].world.vm_boot_s)
    if not all(each.is_well for each in found):
        sys.exit(1)


def _share_of(show: Callable[[float], None], number: int, count: int) -> Callable[[float], None]:
    """Return what shows the progress of one question of several."""
    return lambda done: show((number + done) / count)


def _asked(faults: tuple[str, ...], at: str) -> Question:
    return Question("; ".join(faults), tuple((at, each) for each in faults))


def _show(found: list[Forecast], seeds: int, boot_s: float) -> None:
    for number, each in enumerate(found):
        if number:
            click.echo()
        click.secho(f"What if {printable(each.question)}?", bold=True)
        for line in each.lines():
            click.echo(line)
    click.echo()
    click.echo(
        f"{several(seeds, 'run')} of the simulator each, in which a VM boots in"
        f" {span_text(boot_s)} (--set world.vm_boot=90s); nothing on the cluster was touched"
    )
    fatal = [each.question for each in found if not each.is_well]
    if fatal and len(found) > 1:
        click.secho(f"The cluster would not survive: {'; '.join(fatal)}", fg="red")
