"""`he-fsm check`: every order of events within a bound."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, Callable, Optional

import attrs
import click

from he_fsm.check.counterexample import Counterexample, counterexample
from he_fsm.check.expand import Bounds
from he_fsm.check.faults import KINDS
from he_fsm.check.result import Verdict, verdicts
from he_fsm.check.search.explore import explore
from he_fsm.check.search.explored import Explored, Progress, begun
from he_fsm.check.search.saved import load, save
from he_fsm.cli.exits import STOPPED
from he_fsm.cli.options.common import json_option
from he_fsm.cli.output.progress import exploring_bar
from he_fsm.document.files import read_text
from he_fsm.document.nodes import parse_tree, refusal, refused_as
from he_fsm.document.units import parse_duration
from he_fsm.errors import HeFsmError, MissingExtraError, PolicyError, ScenarioError
from he_fsm.files.inputs import Inputs, check_outputs
from he_fsm.policy import POLICIES, Policy
from he_fsm.report.files import write_whole
from he_fsm.scenario.language.host_names import HostNames
from he_fsm.scenario.language.policies import PolicyForm
from he_fsm.scenario.model import World
from he_fsm.words import several

_HOSTS_MAX = 4
_ALL = "all"
_FAULTS_MAX = 6


@click.command()
@click.option(
    "--hosts",
    type=click.IntRange(1, _HOSTS_MAX),
    default=2,
    show_default=True,
    help="How many hosts the cluster has.",
)
@click.option(
    "--faults",
    type=click.IntRange(0, _FAULTS_MAX),
    default=2,
    show_default=True,
    help="How many faults strike at most.",
)
@click.option(
    "--policy",
    default="talk",
    show_default=True,
    metavar="NAME|FILE",
    help="A policy's name, or a YAML file with what stands under `policy` in a scenario.",
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([_ALL, *sorted(KINDS)]),
    metavar="KIND",
    help=f"Only faults of this kind; repeatable. One of {', '.join(sorted(KINDS))}, all.",
)
@click.option(
    "--watchdog",
    "watchdogs",
    multiple=True,
    metavar="TIME",
    help="The time of a host's own watchdog, once for each host in their order, like 60s; the"
    " policy's everywhere if nothing is said.",
)
@click.option(
    "--pause-frees-lease",
    is_flag=True,
    help="A paused VM releases its lease, as with libvirt's sanlock plug-in.",
)
@click.option("--time", "time_text", metavar="5m", help="Stop after this time.")
@click.option(
    "--cores",
    type=click.IntRange(1),
    metavar="N",
    help="How many processes; as many as there are cores if nothing is said.",
)
@click.option(
    "--resume",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Continue what was left in this file; a check that is stopped leaves it there.",
)
@click.option(
    "--every-order", is_flag=True, help="Without the reductions: orders that change nothing too."
)
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Where counterexamples are written; this folder if nothing is said.",
)
@json_option
def check(  # noqa: PLR0913 - one for each option
    hosts: int,
    faults: int,
    policy: str,
    kinds: tuple[str, ...],
    watchdogs: tuple[str, ...],
    pause_frees_lease: bool,
    time_text: Optional[str],
    cores: Optional[int],
    resume: Optional[Path],
    every_order: bool,
    output: Path,
    as_json: bool,
) -> None:
    """
    Explore every order of loops, writes, reads, orders and faults within a bound.

    Exit status: 0 every property held; 1 one is broken, or the time was over before all was
    explored; 2 what was given can't be used.
    """
    inputs = Inputs.of(("the policy file", None if policy in POLICIES else policy))
    check_outputs(inputs, {"--resume": resume})
    bounds = Bounds(
        hosts=hosts,
        faults=faults,
        policy=_policy(policy),
        kinds=KINDS if _ALL in kinds else frozenset(kinds) or None,
        watchdogs=_watchdogs(watchdogs, hosts),
        pause_keeps_lease=not pause_frees_lease,
        reduced=not every_order,
    )
    time_s = None if time_text is None else _seconds(time_text, "--time")
    workers = cores or len(os.sched_getaffinity(0))
    explored = _begin(bounds, resume)
    if not explored.is_whole:
        _explore(explored, workers, time_s, resume)
    found = verdicts(explored)
    broken = [verdict for verdict in found if verdict.held is False]
    files = dict(_write(verdict, explored, output, inputs) for verdict in broken)
    if as_json:
        click.echo(json.dumps(_plain(explored, found, files), indent=2))
    else:
        _print(explored, found, files, resume)
    if broken or not explored.is_whole:
        sys.exit(1)


def _policy(name: str) -> Policy:
    """Return the named policy, or the one in a file."""
    if name in POLICIES:
        return POLICIES[name]
    if not name or not Path(name).exists():
        names = ", ".join(POLICIES)
        msg = f"--policy {name}: no such file, and no policy's name ({names})"
        raise HeFsmError(msg)
    with refused_as(ScenarioError):
        tree = parse_tree(read_text(name), name, "a policy's name or a mapping")
        choice = PolicyForm().read(tree, HostNames())
        try:
            return choice.made_for(choice.surroundings(World()))
        except PolicyError as error:
            raise refusal(tree, str(error)) from error


def _words(policy: Policy) -> str:
    """Return the policy's name, and its differences from the shipped policy of that name."""
    base = POLICIES.get(policy.name, policy)
    changed = [
        f"{field.name} {getattr(policy, field.name)}"
        for field in attrs.fields(Policy)
        if getattr(policy, field.name) != getattr(base, field.name)
    ]
    return f"{policy.name} with {', '.join(changed)}" if changed else policy.name


def _watchdogs(texts: tuple[str, ...], hosts: int) -> tuple[float, ...]:
    if texts and len(texts) != hosts:
        msg = f"--watchdog: expected one for each of the {hosts} hosts, got {len(texts)}"
        raise HeFsmError(msg)
    return tuple(_seconds(text, "--watchdog") for text in texts)


def _seconds(text: str, option: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        msg = f"{option} {text}: expected a time above 0, like 5m"
        raise HeFsmError(msg)
    return seconds


def _begin(bounds: Bounds, resume: Optional[Path]) -> Explored:
    if resume is not None and not resume.parent.is_dir():
        msg = f"--resume {resume}: there is no folder {resume.parent}"
        raise HeFsmError(msg)
    if resume is None or not resume.exists():
        return begun(bounds)
    explored = load(resume)
    if explored.bounds != bounds:
        theirs = explored.bounds
        kinds = "".join(f" --kind {kind}" for kind in sorted(theirs.kinds or ()))
        kinds += "".join(f" --watchdog {each:g}s" for each in theirs.watchdogs)
        order = "" if theirs.reduced else " --every-order"
        msg = (
            f"can't continue with {resume}: it is of another check (--hosts {theirs.hosts} "
            f"--faults {theirs.faults}{kinds}{order}, policy {_words(theirs.policy)})"
        )
        raise HeFsmError(msg)
    return explored


def _explore(
    explored: Explored, workers: int, time_s: Optional[float], resume: Optional[Path]
) -> None:
    """Explore, and save the unexplored rest in the file, however the exploration ends."""
    asked_to_stop: list[bool] = []
    before = signal.signal(signal.SIGINT, lambda *_: asked_to_stop.append(True))
    try:
        with exploring_bar() as show:
            tell = _stopping(show, asked_to_stop)
            explore(explored, workers=workers, time_s=time_s, tell=tell)
    except KeyboardInterrupt:
        left = "with --resume FILE it could go on"
        if resume is not None:
            save(explored, resume)
            left = f"{resume} has what was explored"
        click.echo(f"he-fsm: stopped: {left}", err=True)
        sys.exit(STOPPED)
    finally:
        signal.signal(signal.SIGINT, before)
    if resume is not None:
        save(explored, resume)


def _stopping(
    show: Callable[[Progress], None], asked_to_stop: list[bool]
) -> Callable[[Progress], None]:
    """Stop between two batches of states, where no batch is half done."""

    def tell(now: Progress) -> None:
        show(now)
        if asked_to_stop:
            raise KeyboardInterrupt

    return tell


def _write(
    verdict: Verdict, explored: Explored, output: Path, inputs: Inputs
) -> tuple[str, list[str]]:
    """Write the scenario of a broken property, and its page if the extra is installed."""
    bounds = explored.bounds
    found = counterexample(verdict, bounds)
    if found is None:
        return verdict.prop.value, []
    path = output / f"check-{verdict.prop.value}.yaml"
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"can't write {output}: {error.strerror}"
        raise HeFsmError(msg) from error
    inputs.spare("--output", path)
    write_whole(path, found.text.encode())
    return verdict.prop.value, [str(path), *_page(verdict, found, path)]


def _page(verdict: Verdict, found: Counterexample, path: Path) -> list[str]:
    from he_fsm.check.page import write_counterexample  # noqa: PLC0415 - needs the extra `report`

    page = path.with_suffix(".html")
    try:
        write_counterexample(verdict, found, page)
    except MissingExtraError as error:
        click.echo(f"he-fsm: no page of the counterexample: {error}", err=True)
        return []
    return [str(page)]


def _memory_mib() -> float:
    """Return the peak memory of this process plus that of its largest worker, in MiB."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    # Linux reports KiB.
    return (own + largest) / 1024


def _plain(
    explored: Explored, found: tuple[Verdict, ...], files: dict[str, list[str]]
) -> dict[str, Any]:
    return {
        "held": explored.is_whole and all(verdict.held is not False for verdict in found),
        "finished": explored.is_whole,
        "hosts": explored.bounds.hosts,
        "faults": explored.bounds.faults,
        "policy": explored.bounds.policy.name,
        "kinds": sorted(explored.bounds.strike),
        "states": explored.states,
        "transitions": explored.transitions,
        "rounds": len(explored.parents),
        "depth": explored.depth,
        "seconds": round(explored.seconds, 3),
        "states_per_second": round(_rate(explored)),
        "memory_mib": round(_memory_mib(), 1),
        "properties": [
            {**verdict.to_json(), "files": files.get(verdict.prop.value, [])} for verdict in found
        ],
    }


def _rate(explored: Explored) -> float:
    return explored.states / explored.seconds if explored.seconds else 0.0


def _print(
    explored: Explored,
    found: tuple[Verdict, ...],
    files: dict[str, list[str]],
    resume: Optional[Path],
) -> None:
    bounds = explored.bounds
    click.echo(
        f"{several(bounds.hosts, 'host')}, at most {several(bounds.faults, 'fault')}, "
        f"policy {_words(bounds.policy)}: "
        f"{explored.states:,} states, {explored.transitions:,} transitions, depth "
        f"{explored.depth} loops"
    )
    click.echo(
        f"{explored.seconds:.1f} s, {_rate(explored):,.0f} states a second, {_memory_mib():.0f} MiB"
    )
    for verdict in found:
        colour = {"held": "green", "broken": "red", "open": "yellow"}[verdict.word]
        word = click.style(f"{verdict.word:7}", fg=colour)
        seen = f" ({verdict.seen})" if verdict.seen else ""
        click.echo(f"  {word} {verdict.prop.value}: {verdict.prop.meaning}{seen}")
        for path in files.get(verdict.prop.value, []):
            click.echo(f"          {path}")
    if not explored.is_whole:
        click.echo("Not all was explored: what is not broken is open.")
        if resume is not None:
            click.echo(f"To go on: the same command again, with --resume {resume}.")
