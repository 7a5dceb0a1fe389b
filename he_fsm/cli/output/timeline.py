"""The output of `he-fsm simulate`: status blocks, timeline, totals, verdict."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from shutil import get_terminal_size
from typing import Optional

import attrs
import click

from he_fsm.cli.output.blocks import status_block
from he_fsm.live.answer import answer_of, asks_nothing
from he_fsm.metadata import HostRecord, decode_slot
from he_fsm.report.events import Event
from he_fsm.report.outcome import HostView, Outcome
from he_fsm.words import printable, span_text

# Up to this many hosts, print all status blocks; with more, only those of hosts with events.
_BLOCKS_MAX = 4
# If more hosts than this report the same event within a loop, print one line for all.
_MERGED_FROM = 8
# The totals that are durations.
_IN_SECONDS = ("downtime", "longest_outage")
_HIDDEN = ("notification",)
# The lines of a host's text to print: the talk's own, the state, and the score's reason.
_SHOWN = ("timestamp", "host-id", "score", "engine-health", "gateway", "state", "score-why")
_COLOURS = {
    "fault": "magenta",
    "vm": "cyan",
    "migration": "cyan",
    "start": "yellow",
    "lease": "blue",
    "score": "bright_black",
    "liveness": "bright_black",
    "problem": "yellow",
    "rule": "red",
}
_STATE_COLOURS = {
    "EngineUp": "green",
    "EngineStarting": "yellow",
    "EngineMigratingAway": "yellow",
    "EngineStopping": "yellow",
    "ScoreBlocked": "red",
    "Unknown": "red",
}
_TIME_WIDTH, _HOST_WIDTH, _WHAT_WIDTH = 10, 10, 34
PLAIN_WIDTH = 10_000


@attrs.frozen
class Line:
    """One line of the timeline."""

    t: float
    hosts: tuple[str, ...]
    what: str
    why: str
    colour: Optional[str]


# The blocks of a whiteboard that a run began with, by host id.
Board = Mapping[int, Sequence[str]]
_NO_BOARD: Board = {}


def print_outcomes(
    outcomes: Sequence[Outcome],
    seeds: Optional[int] = None,
    *,
    board: Board = _NO_BOARD,
    answers: bool = False,
) -> None:
    """
    Print every outcome, and a summary if there are several.

    Args:
        board: what to show of hosts at the start instead of what the simulator wrote.
        answers: print what the engine does, in place of the verdict of a run that passed.
    """
    width = get_terminal_size().columns if sys.stdout.isatty() else PLAIN_WIDTH
    for outcome in outcomes:
        _print_outcome(outcome, width, board)
        _print_verdict(outcome, width, seeds, answers=answers)
    if len(outcomes) > 1:
        _print_summary(outcomes)


def _print_outcome(outcome: Outcome, width: int, board: Board) -> None:
    scenario = outcome.scenario
    rule = "=" * min(width, 78)
    click.secho(rule, fg="bright_black")
    click.secho(f"Scenario {printable(scenario.name)}", bold=True)
    if scenario.about:
        _print_wrapped(printable(scenario.about), width)
    click.secho(rule, fg="bright_black")
    click.echo()
    _print_blocks(outcome, outcome.start, "At the start", board)
    click.secho("Timeline", bold=True)
    for line in timeline(outcome):
        print_line(line, width, clock_text(line.t), _TIME_WIDTH)
    click.echo()
    _print_blocks(outcome, outcome.end, "At the end")


def _print_blocks(
    outcome: Outcome, views: Sequence[HostView], title: str, board: Board = _NO_BOARD
) -> None:
    shown = _worth_showing(outcome, views)
    click.secho(f"{title}: {_where(outcome, title)}", bold=True)
    click.echo()
    for view in shown:
        own = board.get(view.host_id)
        for text in own or _block(outcome, view, at_end=views is outcome.end):
            click.echo(text)
        if not view.powered:
            click.echo(f"{'Power':<35}: off")
        click.echo()
    if len(shown) < len(views):
        click.echo(f"({len(views) - len(shown)} more hosts)")
        click.echo()


def _where(outcome: Outcome, title: str) -> str:
    if title == "At the end":
        name, word = outcome.engine_on, outcome.engine
    else:
        engine = outcome.scenario.engine
        word = "paused" if engine.paused else engine.health
        name, word = engine.running_on, word if engine.doing == "running" else engine.doing
    return "no engine runs" if name is None else f"engine on host {name}, {word}"


def _worth_showing(outcome: Outcome, views: Sequence[HostView]) -> list[HostView]:
    if len(views) <= _BLOCKS_MAX:
        return list(views)
    busy = [event.host for event in outcome.events if event.kind in ("vm", "fault", "migration")]
    first = list(dict.fromkeys([outcome.scenario.engine.running_on, *busy, outcome.engine_on]))
    wanted = [name for name in first if name is not None][:_BLOCKS_MAX]
    return [view for view in views if view.name in wanted]


def _block(outcome: Outcome, view: HostView, *, at_end: bool) -> list[str]:
    content = decode_slot(view.host_id, view.block, version=outcome.versions)
    if not isinstance(content, HostRecord):
        return [
            f"--== Host {view.host_id} status ==--",
            "",
            f"Hostname : {view.hostname}, nothing written",
        ]
    is_old = at_end and not view.writes
    lines = status_block(content, alive=False if is_old else None)
    return [line for line in lines if _is_shown(line)]


def _is_shown(line: str) -> bool:
    """Return whether a status block shows this line."""
    return not line.startswith("    ") or line.strip().split("=")[0] in _SHOWN


def timeline(outcome: Outcome) -> list[Line]:
    """Return the events as lines; merge the same event of many hosts into one line."""
    lines: list[Line] = []
    merges = len(outcome.scenario.hosts) > _MERGED_FROM
    together_s = outcome.scenario.world.loop_s + outcome.scenario.world.jitter_s
    latest: dict[tuple[str, str], int] = {}
    for event in outcome.events:
        if event.kind in _HIDDEN:
            continue
        line = line_of(event)
        key = (line.what, line.why)
        index = latest.get(key)
        if merges and index is not None and event.t - lines[index].t <= together_s:
            before = lines[index]
            lines[index] = attrs.evolve(before, hosts=(*before.hosts, *line.hosts))
            continue
        latest[key] = len(lines)
        lines.append(line)
    return lines


def line_of(event: Event) -> Line:
    """Return one event as a line."""
    details = event.details
    hosts = () if event.host is None else (event.host,)
    text = printable(event.text())
    if event.kind == "state":
        what = f"{details['from']} -> {details['to']}"
        return Line(event.t, hosts, what, text, _STATE_COLOURS.get(str(details["to"])))
    return Line(event.t, hosts, event.kind, text, _COLOURS.get(event.kind))


def print_line(line: Line, width: int, time: str, time_width: int) -> None:
    """Print a line of a timeline; where the width has no room, its reason stands below it."""
    head = f"{time:>{time_width}}  {_hosts_text(line.hosts):<{_HOST_WIDTH}}"
    indent = time_width + 2 + _HOST_WIDTH
    what = click.style(f"{line.what:<{_WHAT_WIDTH}}", fg=line.colour)
    room = width - indent - _WHAT_WIDTH - 2
    if room >= 30:
        parts = textwrap.wrap(line.why, room) or [""]
        click.echo(f"{head}{what}  {parts[0]}")
        for part in parts[1:]:
            click.echo(" " * (indent + _WHAT_WIDTH + 2) + part)
        return
    click.echo(f"{head}{click.style(line.what, fg=line.colour)}")
    for part in textwrap.wrap(line.why, max(20, width - 6)):
        click.echo(" " * 6 + part)


def clock_text(t: float) -> str:
    """Return seconds as h:mm:ss.s, with the days in front if there are any."""
    tenths = round(t * 10)
    seconds, tenth = divmod(tenths, 10)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    day = f"{days}d " if days else ""
    return f"{day}{hour}:{minute:02}:{second:02}.{tenth}"


def _hosts_text(hosts: Sequence[str]) -> str:
    if not hosts:
        return "cluster"
    if len(hosts) == 1:
        return f"host {printable(hosts[0])}"
    return f"{len(hosts)} hosts"


def _print_verdict(
    outcome: Outcome, width: int, seeds: Optional[int], *, answers: bool = False
) -> None:
    totals = ", ".join(f"{name} {_number(name, value)}" for name, value in outcome.totals.items())
    _print_wrapped(f"Totals: {totals}", width)
    name = printable(outcome.scenario.name)
    answers = answers and asks_nothing(outcome)
    if answers:
        answer = answer_of(outcome)
        colour = "green" if answer.comes_back else "red"
        click.secho(f"ANSWER {answer.text}", fg=colour, bold=True)
    if outcome.passed and answers:
        pass
    elif outcome.passed:
        with_seeds = "" if seeds is None else f" with seeds 1 to {seeds}"
        click.secho(f"PASSED {name}{with_seeds}", fg="green", bold=True)
    else:
        with_seed = "" if seeds is None else f" with seed {outcome.seed}"
        click.secho(f"FAILED {name}{with_seed}", fg="red", bold=True)
        for failure in outcome.failures:
            at = "" if failure.at is None else f" at {clock_text(failure.at)}"
            _print_wrapped(
                f"  {failure.place}: expected {printable(failure.expected)}; "
                f"seen{at}: {printable(failure.seen)}",
                width,
            )
    click.echo()


def _number(name: str, value: float) -> str:
    return span_text(value) if name in _IN_SECONDS else str(value)


def _print_wrapped(text: str, width: int) -> None:
    for part in textwrap.wrap(text, width, subsequent_indent="  "):
        click.echo(part)


def _print_summary(outcomes: Sequence[Outcome]) -> None:
    click.secho("Summary", bold=True)
    longest = max(len(outcome.scenario.name) for outcome in outcomes)
    for outcome in outcomes:
        word, colour = ("passed", "green") if outcome.passed else ("FAILED", "red")
        totals = outcome.totals
        click.echo(
            f"  {click.style(word, fg=colour)}  {printable(outcome.scenario.name):<{longest}}  "
            f"downtime {span_text(totals['downtime'])}, {totals['starts']} starts, "
            f"{totals['migrations']} migrations"
        )
    failed = sum(not outcome.passed for outcome in outcomes)
    click.echo(f"{len(outcomes) - failed} of {len(outcomes)} scenarios passed")
