"""What `he-fsm simulate` prints: status blocks, the timeline, totals, the verdict."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from shutil import get_terminal_size
from typing import Optional

import attrs
import click

from he_fsm.cli.blocks import printable, status_block
from he_fsm.metadata import HostRecord, decode_slot
from he_fsm.report.events import Event
from he_fsm.report.outcome import HostView, Outcome

# Status blocks of so many hosts fit a person's patience; of more, those that did something.
_BLOCKS_MAX = 4
# More hosts than this say the same thing within a loop as one line.
_MERGED_FROM = 8
# Totals that are times.
_IN_SECONDS = ("downtime", "longest_outage")
_HIDDEN = ("notification",)
# Lines of a host's text: the talk's own, the state, and why the score is what it is.
_TOLD = ("timestamp", "host-id", "score", "engine-health", "gateway", "state", "score-why")
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
_PLAIN_WIDTH = 10_000


@attrs.frozen
class Line:
    """One line of the timeline."""

    t: float
    hosts: tuple[str, ...]
    what: str
    why: str
    colour: Optional[str]


def print_outcomes(outcomes: Sequence[Outcome], seeds: Optional[int] = None) -> None:
    """Print every outcome, and a summary where there are several."""
    width = get_terminal_size().columns if sys.stdout.isatty() else _PLAIN_WIDTH
    for outcome in outcomes:
        _print_outcome(outcome, width, seeds)
    if len(outcomes) > 1:
        _print_summary(outcomes)


def _print_outcome(outcome: Outcome, width: int, seeds: Optional[int]) -> None:
    scenario = outcome.scenario
    rule = "=" * min(width, 78)
    click.secho(rule, fg="bright_black")
    click.secho(f"Scenario {printable(scenario.name)}", bold=True)
    if scenario.about:
        _print_wrapped(printable(scenario.about), width)
    click.secho(rule, fg="bright_black")
    click.echo()
    _print_blocks(outcome, outcome.start, "At the start")
    click.secho("Timeline", bold=True)
    for line in timeline(outcome):
        _print_line(line, width)
    click.echo()
    _print_blocks(outcome, outcome.end, "At the end")
    _print_verdict(outcome, width, seeds)


def _print_blocks(outcome: Outcome, views: Sequence[HostView], title: str) -> None:
    shown = _worth_showing(outcome, views)
    click.secho(f"{title}: {_where(outcome, title)}", bold=True)
    click.echo()
    for view in shown:
        for text in _block(outcome, view, at_end=views is outcome.end):
            click.echo(text)
        click.echo()
    if len(shown) < len(views):
        click.echo(f"({len(views) - len(shown)} more hosts)")
        click.echo()


def _where(outcome: Outcome, title: str) -> str:
    if title == "At the end":
        name, word = outcome.engine_on, outcome.engine
    else:
        name, word = outcome.scenario.engine.running_on, outcome.scenario.engine.health
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
    return [line for line in lines if _is_told(line)]


def _is_told(line: str) -> bool:
    """Leave out of a block what the talk's has not, but for state and reason of the score."""
    return not line.startswith("    ") or line.strip().split("=")[0] in _TOLD


def timeline(outcome: Outcome) -> list[Line]:
    """Give the events that people follow, as lines; what many hosts say at once, as one."""
    lines: list[Line] = []
    merges = len(outcome.scenario.hosts) > _MERGED_FROM
    together_s = outcome.scenario.world.loop_s + outcome.scenario.world.jitter_s
    latest: dict[tuple[str, str], int] = {}
    for event in outcome.events:
        if event.kind in _HIDDEN:
            continue
        line = _line(event)
        key = (line.what, line.why)
        index = latest.get(key)
        if merges and index is not None and event.t - lines[index].t <= together_s:
            before = lines[index]
            lines[index] = attrs.evolve(before, hosts=(*before.hosts, *line.hosts))
            continue
        latest[key] = len(lines)
        lines.append(line)
    return lines


def _line(event: Event) -> Line:
    details = event.details
    hosts = () if event.host is None else (event.host,)
    text = printable(event.text())
    if event.kind == "state":
        what = f"{details['from']} -> {details['to']}"
        return Line(event.t, hosts, what, text, _STATE_COLOURS.get(str(details["to"])))
    return Line(event.t, hosts, event.kind, text, _COLOURS.get(event.kind))


def _print_line(line: Line, width: int) -> None:
    head = f"{clock_text(line.t):>{_TIME_WIDTH}}  {_hosts_text(line.hosts):<{_HOST_WIDTH}}"
    indent = _TIME_WIDTH + 2 + _HOST_WIDTH
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
    """Give seconds as h:mm:ss.s, with days where there are some."""
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


def _print_verdict(outcome: Outcome, width: int, seeds: Optional[int]) -> None:
    totals = ", ".join(f"{name} {_number(name, value)}" for name, value in outcome.totals.items())
    _print_wrapped(f"Totals: {totals}", width)
    name = printable(outcome.scenario.name)
    if outcome.passed:
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
    return f"{value:g} s" if name in _IN_SECONDS else str(value)


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
            f"downtime {totals['downtime']:g} s, {totals['starts']} starts, "
            f"{totals['migrations']} migrations"
        )
    failed = sum(not outcome.passed for outcome in outcomes)
    click.echo(f"{len(outcomes) - failed} of {len(outcomes)} scenarios passed")
