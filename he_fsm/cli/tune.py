"""`he-fsm tune`: policy values for an aim, and their effect."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import attrs
import click

from he_fsm.campaign.aim import MEASURES
from he_fsm.campaign.reading import load_document, parse_aim
from he_fsm.campaign.results import Estimate
from he_fsm.cli.exits import STOPPED
from he_fsm.cli.loading import load
from he_fsm.cli.options.common import json_option
from he_fsm.cli.options.playing import (
    overrides_of,
    player_for,
    playing_options,
    terminated_as_stopped,
)
from he_fsm.cli.output.campaign_tables import chance, interval, print_table, span
from he_fsm.cli.output.progress import progress_bar
from he_fsm.document.forms import Duration
from he_fsm.document.units import format_number
from he_fsm.errors import ScenarioError
from he_fsm.words import printable

if TYPE_CHECKING:
    from he_fsm.campaign.model import Campaign
    from he_fsm.campaign.tune import Proposal

_TRIALS = 60
# With so many runs most differences that matter are seen.
_RUNS_MORE = 100


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--aim",
    "aim_text",
    metavar="YAML",
    help="What is wanted, like '{least: downtime, at_most: {moves: 2}}'; else the file's.",
)
@click.option(
    "--trials",
    type=click.IntRange(10),
    default=_TRIALS,
    show_default=True,
    help="How many points are tried, about.",
)
@playing_options(runs_min=2)
@json_option
def tune(  # noqa: PLR0913 - one for each option
    file: Path,
    aim_text: Optional[str],
    trials: int,
    runs: Optional[int],
    settings: tuple[str, ...],
    jobs: Optional[int],
    scheduler: Optional[str],
    as_json: bool,
) -> None:
    """
    Search what a campaign file varies for the aim, and judge what is found on fresh seeds.

    Exit status: 0 searched, whatever was found; 2 the file can't be used; 130 stopped by Ctrl-C.
    """
    campaign, document = load_document(file, overrides_of(settings, runs))
    aim = campaign.aim if aim_text is None else parse_aim(aim_text)
    if aim is None:
        msg = f"{file}: the key 'aim' is missing; or give --aim"
        raise ScenarioError(msg)
    if not document.axes:
        msg = f"{file}: the key 'vary' is missing: it says what may be changed"
        raise ScenarioError(msg)
    search = load("he-fsm tune", "he_fsm.campaign.tune", "campaign").tune
    # At the end, both designs are run once more on the fresh seeds.
    total = (trials + 2) * campaign.runs
    try:
        with ExitStack() as stack:
            player = stack.enter_context(player_for(scheduler, jobs))
            stack.enter_context(terminated_as_stopped())
            show = stack.enter_context(progress_bar("searching", total))
            proposal: Proposal = search(document, campaign, aim, player, trials=trials, show=show)
    except KeyboardInterrupt:
        click.echo("he-fsm: stopped", err=True)
        sys.exit(STOPPED)
    if as_json:
        click.echo(json.dumps(_plain(proposal), indent=2))
    else:
        _print(proposal, campaign)


def _plain(proposal: Proposal) -> dict[str, Any]:
    return {
        "aim": attrs.asdict(proposal.aim),
        "settings": proposal.settings,
        "tried": proposal.tried,
        "keeps_limits": proposal.keeps_limits,
        "measures": {name: attrs.asdict(each) for name, each in proposal.measures.items()},
        "judged": proposal.judged.to_json(),
    }


def _print(proposal: Proposal, campaign: Campaign) -> None:
    click.secho(f"Aim: {proposal.aim.words}", bold=True)
    click.echo(
        f"Proposed, of {proposal.tried} points that were played with seeds "
        f"{campaign.seed} to {campaign.seed + campaign.runs - 1}:"
    )
    for key, value in proposal.settings.items():
        click.secho(f"  {printable(key)}: {printable(value)}", bold=True)
    click.echo()
    first = campaign.seed + campaign.runs
    click.echo(f"A year, judged on the fresh seeds {first} to {first + campaign.runs - 1}:")
    rows = [_row(name, proposal) for name in proposal.measures]
    headings = ("measure", "as written", "proposed", "less", "by chance")
    print_table((*headings, "at most"), rows)
    if not proposal.keeps_limits:
        click.secho("The proposal misses a limit of the aim on these seeds.", fg="yellow")
    best = proposal.measures[proposal.aim.least]
    if best.gain.value <= 0:
        text = "Nothing is gained: the current values are as good. Keep them."
        click.secho(text, fg="yellow")
    elif best.p_value >= 1 - campaign.confidence:
        runs = max(_RUNS_MORE, 4 * campaign.runs)
        text = f"Not shown to be better than the current values; try --runs {runs}."
        click.secho(text, fg="yellow")


def _row(name: str, proposal: Proposal) -> tuple[str, ...]:
    found = proposal.measures[name]
    is_time = isinstance(MEASURES[name].form, Duration)
    words = span if is_time else _number
    limit = proposal.aim.at_most.get(name)
    return (
        MEASURES[name].about,
        *(_interval(each, is_time) for each in (found.as_written, found.proposed, found.gain)),
        chance(found.p_value),
        "" if limit is None else words(limit),
    )


def _interval(found: Estimate, is_time: bool) -> str:
    return interval(found, span if is_time else _number)


def _number(value: float) -> str:
    return format_number(round(value, 2))
