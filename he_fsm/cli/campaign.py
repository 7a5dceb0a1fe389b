"""`he-fsm campaign`: many runs with random faults, and the availability of a design."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Optional

import attrs
import click

from he_fsm.campaign.columns import check_parquet, write_csv, write_parquet
from he_fsm.campaign.model import Campaign
from he_fsm.campaign.reading import json_schema, load_campaign
from he_fsm.campaign.results import CampaignResult
from he_fsm.campaign.run import Player, run_campaign
from he_fsm.campaign.store import Results, open_results
from he_fsm.campaign.unseen import unseen
from he_fsm.campaign.worst import run_text, write_worst
from he_fsm.cli.exits import STOPPED
from he_fsm.cli.loading import load
from he_fsm.cli.options.common import json_option
from he_fsm.cli.options.playing import (
    overrides_of,
    player_for,
    playing_options,
    terminated_as_stopped,
)
from he_fsm.cli.output.drawings import Drawings, drawing_options
from he_fsm.cli.output.progress import late_bar, progress_bar
from he_fsm.files.inputs import Inputs, check_outputs
from he_fsm.report.files import check_place
from he_fsm.report.pictures import write_pictures


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep each run here as it ends; the same command goes on where it was stopped.",
)
@playing_options(runs_min=1)
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a row for each run.",
)
@click.option(
    "--parquet",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the same rows as Parquet.",
)
@click.option(
    "--worst",
    type=(click.IntRange(1), click.Path(file_okay=False, path_type=Path)),
    metavar="N DIR",
    help="Write the N runs with the most downtime as scenario files.",
)
@drawing_options("Write a page with charts and tables; the worst runs are in it, to be replayed.")
@json_option
@click.option("--schema", is_flag=True, help="Print a JSON Schema of campaign files, for editors.")
def campaign(  # noqa: PLR0913 - one for each option
    file: Optional[Path],
    results: Optional[Path],
    runs: Optional[int],
    settings: tuple[str, ...],
    jobs: Optional[int],
    scheduler: Optional[str],
    csv_file: Optional[Path],
    parquet: Optional[Path],
    worst: Optional[tuple[int, Path]],
    html: Optional[Path],
    png: Optional[Path],
    svg: Optional[Path],
    as_json: bool,
    schema: bool,
) -> None:
    """
    Play many years of a cluster with faults at random, and compare designs.

    Exit status: 0 all was played; 1 a rule was broken in some run; 2 the file can't be used; 130
    stopped by Ctrl-C, what was played is shown.
    """
    if schema:
        click.echo(json.dumps(json_schema(), indent=2))
        return
    if file is None:
        msg = "give a campaign file (see docs/campaign.md)"
        raise click.UsageError(msg)
    inputs = Inputs.of(("the campaign file", file))
    pages = {"--html": html, "--png": png, "--svg": svg}
    tables = {"--results": results, "--csv": csv_file, "--parquet": parquet, "--worst": worst}
    outputs = {"--results": results, "--csv": csv_file, "--parquet": parquet, "--html": html}
    check_outputs(inputs, outputs)
    chosen = load_campaign(file, overrides_of(settings, runs))
    if chosen.precision is not None:
        _refuse_with_precision({**pages, **tables})
        _precisely(chosen, scheduler, jobs, as_json=as_json)
        return
    summarise = load("he-fsm campaign", "he_fsm.campaign.statistics", "campaign").summarise
    drawings = Drawings(html, png, svg)
    drawings.check()
    if parquet is not None:
        check_parquet(chosen.seeds)
    for path in filter(None, (csv_file, parquet)):
        check_place(path)
    with ExitStack() as stack:
        known = stack.enter_context(open_results(results, chosen)) if results else Results()
        player = stack.enter_context(player_for(scheduler, jobs))
        was_stopped = played_with_progress(chosen, player, known)
    result: CampaignResult = summarise(chosen, known.of(chosen))
    written = {} if worst is None else write_worst(chosen, result, *worst, inputs)
    if csv_file is not None:
        write_csv(result, csv_file)
    if parquet is not None:
        write_parquet(result, parquet)
    report(chosen, result, drawings)
    missing = unseen(chosen, result)
    if as_json:
        never = [{**attrs.asdict(each), "text": each.text} for each in missing]
        click.echo(json.dumps({**result.to_json(), "unseen": never}, indent=2))
    else:
        from he_fsm.cli.output.campaign_tables import print_result  # noqa: PLC0415 - not for --json

        print_result(result, written, missing)
    if was_stopped:
        goes_on = "the same command goes on" if results else "with --results it could go on"
        click.echo(f"he-fsm: stopped: {goes_on}", err=True)
        sys.exit(STOPPED)
    if any(each.broken_rules for each in result.variations):
        sys.exit(1)


def _refuse_with_precision(options: dict[str, object]) -> None:
    """Refuse options that are about single runs: none is kept where a precision is asked for."""
    for name, value in options.items():
        if value is not None:
            msg = f"{name} is about single runs: it goes with 'runs', and not with 'precision'"
            raise click.UsageError(msg)


def _precisely(
    chosen: Campaign, scheduler: Optional[str], jobs: Optional[int], *, as_json: bool
) -> None:
    """Play until the precision is reached, and print the result."""
    run = load("he-fsm campaign", "he_fsm.campaign.cycles.run", "campaign").run_precisely
    with (
        terminated_as_stopped(),
        player_for(scheduler, jobs) as player,
        late_bar(f"to {100 * (chosen.precision or 0):g} %") as show,
    ):
        result: CampaignResult = run(chosen, player, show)
    if as_json:
        click.echo(json.dumps({**result.to_json(), "unseen": []}, indent=2))
    else:
        from he_fsm.cli.output.campaign_tables import print_result  # noqa: PLC0415 - not for --json

        print_result(result, {})
    if any(each.broken_rules for each in result.variations):
        sys.exit(1)
    if result.precision is None or not result.precision.was_reached:
        click.echo("he-fsm: the precision was not reached", err=True)
        sys.exit(STOPPED)


def report(chosen: Campaign, result: CampaignResult, drawings: Drawings) -> None:
    """Write the page with the worst runs, and the figures, if the options ask for them."""
    if drawings.html is not None:
        from he_fsm.campaign.page import WORST, write_campaign_page  # noqa: PLC0415 - only for it

        scenarios = {run.key: run_text(chosen, result, run) for run in result.worst(WORST)}
        write_campaign_page(result, drawings.html, scenarios)
    if any(drawings.folders.values()):
        from he_fsm.campaign.page_figures import figures  # noqa: PLC0415 - the extra `report`

        write_pictures(figures(result), drawings.folders)


def played_with_progress(chosen: Campaign, player: Player, known: Results) -> bool:
    """Run what is left, with a progress bar on a terminal; return whether Ctrl-C stopped it."""
    done = len(known.of(chosen))
    with (
        terminated_as_stopped(),
        progress_bar("playing", len(chosen.designs) * chosen.runs) as show,
    ):
        show(done)
        try:
            for count in run_campaign(chosen, player, known):
                done += count
                show(done)
        except KeyboardInterrupt:
            return True
    return False
