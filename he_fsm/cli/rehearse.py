"""`he-fsm rehearse`: scenario files on real daemons."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Optional

import click

from he_fsm.cli.options.common import json_option, only_option, set_option, settings_of
from he_fsm.cli.output.drawings import Drawings, drawing_options
from he_fsm.cli.output.timeline import clock_text, print_outcomes
from he_fsm.cli.simulate import chosen
from he_fsm.errors import HeFsmError
from he_fsm.files.inputs import Inputs, check_outputs
from he_fsm.rehearse.backends import EMBEDDED, Backend, backend_names, backend_of
from he_fsm.rehearse.compare import Pair, compare, differences
from he_fsm.rehearse.lateness import busy_text
from he_fsm.rehearse.run import Rehearsal
from he_fsm.rehearse.run import rehearse as run
from he_fsm.report.outcome import Outcome, host_key
from he_fsm.report.recoveries import compared, recoveries
from he_fsm.scenario import Scenario
from he_fsm.simulate import simulate
from he_fsm.words import printable


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=str), metavar="FILE...")
@click.option(
    "--backend",
    type=click.Choice(backend_names()),
    default=EMBEDDED.name,
    show_default=True,
    help="What plays leases and VM: processes; sanlock and QEMU; sanlock and libvirt.",
)
@only_option
@click.option(
    "--speed",
    type=click.FloatRange(0.1, 50),
    default=1.0,
    show_default=True,
    help="Loops, boots and time-outs all shorter by this factor.",
)
@set_option()
@click.option(
    "--compare",
    "compares",
    is_flag=True,
    help="Run the simulator too; show both, and the differences.",
)
@click.option("--live", is_flag=True, help="Show a live table of the hosts while it runs.")
@json_option
@drawing_options("Write a page with the timeline.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Leave configurations, logs and whiteboard in this folder.",
)
def rehearse(  # noqa: PLR0913 - one for each option
    files: tuple[str, ...],
    backend: str,
    only: tuple[str, ...],
    speed: float,
    settings: tuple[str, ...],
    compares: bool,
    live: bool,
    as_json: bool,
    html: Optional[Path],
    png: Optional[Path],
    svg: Optional[Path],
    keep: Optional[Path],
) -> None:
    """
    Run scenario files on real daemons of this machine, and judge what is seen.

    Exit status: 0 everything held; 1 an expectation or a rule failed; 2 a file can't be used, or
    asks for what the back end can't do (said before anything is started).
    """
    check_outputs(Inputs.files("a scenario file that is read", files), {"--html": html})
    scenarios = chosen(files, only, settings_of(settings))
    drawings = Drawings(html, png, svg)
    drawings.check()
    chosen_backend = backend_of(backend)
    _refuse_what_cannot_be_done(scenarios, chosen_backend, speed)
    _say_what_is_played(scenarios, chosen_backend)
    outcomes = []
    predicted = []
    for scenario in scenarios:
        outcomes.append(_rehearsed(scenario, chosen_backend, speed, keep, live=live))
        if compares:
            predicted.append(simulate(scenario))
    drawings.write(outcomes, "he-fsm rehearse")
    if as_json:
        click.echo(json.dumps(_plain(outcomes, predicted), indent=2))
    else:
        print_outcomes(outcomes)
        for outcome in outcomes:
            busy = "" if outcome.passed else busy_text(outcome, speed)
            if busy:
                click.secho(f"{printable(outcome.scenario.name)}: {busy}", fg="yellow")
        for before, outcome in zip(predicted, outcomes):
            _print_comparison(outcome, compare(before, outcome))
        for before, outcome in itertools.zip_longest(predicted, outcomes):
            _print_recoveries(before, outcome, speed)
    if not all(outcome.passed for outcome in outcomes):
        sys.exit(1)


def _refuse_what_cannot_be_done(scenarios: list[Scenario], backend: Backend, speed: float) -> None:
    reasons = backend.missing(speed) + [
        f"{scenario.name}: {reason}"
        for scenario in scenarios
        for reason in backend.cannot(scenario, speed)
    ]
    if reasons:
        msg = f"the back end {backend.name} can't do this, nothing was started: "
        raise HeFsmError(msg + "; ".join(reasons))


def _say_what_is_played(scenarios: list[Scenario], backend: Backend) -> None:
    """Report, before anything is started, which parts are simulated instead of real."""
    said = set()
    for scenario in scenarios:
        for notice in backend.notices(scenario):
            # What the machine lacks is the same for all scenarios.
            if notice not in said:
                click.echo(f"{printable(scenario.name)}: {notice}", err=True)
                said.add(notice)


def _rehearsed(
    scenario: Scenario, backend: Backend, speed: float, keep: Optional[Path], *, live: bool
) -> Outcome:
    if not live:
        return run(scenario, backend=backend, speed=speed, keep=keep)
    from rich.live import Live  # noqa: PLC0415 - only for a live table

    from he_fsm.cli.output.live import lab_table  # noqa: PLC0415 - as above

    with Live(auto_refresh=False, transient=not sys.stdout.isatty()) as table:

        def watch(rehearsal: Rehearsal) -> None:
            table.update(lab_table(rehearsal), refresh=True)

        return run(scenario, backend=backend, speed=speed, keep=keep, watch=watch)


def _print_comparison(outcome: Outcome, pairs: tuple[Pair, ...]) -> None:
    click.secho(f"Predicted and seen: {outcome.scenario.name}", bold=True)
    click.echo(f"  {'predicted':>10}  {'seen':>10}  {'host':<10} what")
    for pair in pairs:
        event = pair.event
        times = ("-" if each is None else f"{each.t:.1f} s" for each in (pair.predicted, pair.seen))
        line = "  {:>10}  {:>10}  ".format(*times)
        line += f"{event.host or '':<10} {event.details['from']} -> {event.details['to']}"
        click.secho(line, fg=None if pair.is_same else "yellow")
    missing = differences(pairs)
    late = [abs(pair.late_s) for pair in pairs if pair.late_s is not None]
    click.echo(
        f"{len(pairs) - len(missing)} of {len(pairs)} events on both sides, "
        f"{len(missing)} on one; largest difference {max(late, default=0.0):.1f} s"
    )
    click.echo()


def _print_recoveries(predicted: Optional[Outcome], seen: Outcome, speed: float) -> None:
    """Print how long each recovery took, beside the prediction if there is one."""
    left = () if predicted is None else recoveries(predicted)
    pairs = compared(left, recoveries(seen))
    if not pairs:
        return
    click.secho(f"Recoveries: {printable(seen.scenario.name)}", bold=True)
    head = f"  {'fault':<44} {'then':<24}"
    click.echo(f"{head} {'' if predicted is None else 'predicted':>10} {'seen':>10}".rstrip())
    told = None
    for pair in pairs:
        fault, host = pair.recovery.fault, pair.recovery.host
        where = "" if fault.host is None else f"host {printable(fault.host)}: "
        text = f"{clock_text(fault.t)} {where}{printable(fault.text())}"
        then = pair.recovery.what + ("" if host is None else f", host {printable(host)}")
        line = f"  {'' if text == told else text:<44} {then:<24}"
        for each in (pair.predicted, pair.seen):
            line += f" {'' if each is None else f'{each.after_s:.1f} s':>10}"
        click.echo(line.rstrip())
        told = text
    if speed != 1:
        click.echo(f"  Times are the scenario's; on the clock they were {speed:g} times shorter.")
    click.echo()


def _plain(outcomes: list[Outcome], predicted: list[Outcome]) -> dict[str, object]:
    plain: dict[str, object] = {
        "passed": all(outcome.passed for outcome in outcomes),
        "scenarios": [outcome.to_json() for outcome in outcomes],
    }
    plain["late_s"] = [round(outcome.late_s, 3) for outcome in outcomes]
    plain["recoveries"] = [
        [
            {
                "t": round(each.fault.t, 3),
                "host": host_key(each.fault.host),
                "fault": each.fault.text(),
                "then": each.what,
                "on": host_key(each.host),
                "after": round(each.after_s, 3),
            }
            for each in recoveries(outcome)
        ]
        for outcome in outcomes
    ]
    if predicted:
        plain["compared"] = [
            [
                {
                    "host": host_key(pair.event.host),
                    "from": pair.event.details["from"],
                    "edge": pair.event.details["edge"],
                    "to": pair.event.details["to"],
                    "predicted": None if pair.predicted is None else round(pair.predicted.t, 3),
                    "seen": None if pair.seen is None else round(pair.seen.t, 3),
                }
                for pair in pairs
            ]
            for pairs in map(compare, predicted, outcomes)
        ]
    return plain
