"""`he-fsm simulate`: scenario files in memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Optional

import click

from he_fsm.cli.options.common import json_option, only_option, set_option, settings_of
from he_fsm.cli.options.what_if import what_if, what_if_options
from he_fsm.cli.output.drawings import Drawings, drawing_options
from he_fsm.cli.output.progress import late_bar
from he_fsm.errors import HeFsmError, ScenarioError
from he_fsm.files.inputs import Inputs, check_outputs
from he_fsm.live.answer import answer_of, asks_nothing
from he_fsm.scenario import Scenario, json_schema, load_scenarios
from he_fsm.scenario.language.additions import NOTHING_ADDED, Additions
from he_fsm.simulate import Outcome
from he_fsm.simulate import simulate as run

_MANY_RUNS = 20
# Takes how much is done, 0 to 1.
Show = Callable[[float], None]


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=str), metavar="FILE...")
@what_if_options
@only_option
@click.option("--seed", type=click.IntRange(0), help="Other loop and lease-renewal phases.")
@click.option(
    "--seeds",
    type=click.IntRange(1),
    metavar="N",
    help="Run each with seeds 1 to N; all must hold.",
)
@set_option()
@json_option
@click.option(
    "--trace",
    type=click.Path(dir_okay=False),
    help="Write every look of every agent, a JSON object a line.",
)
@drawing_options("Write a page with the timeline.")
@click.option("--schema", is_flag=True, help="Print a JSON Schema of scenario files, for editors.")
def simulate(  # noqa: PLR0913 - one for each option
    files: tuple[str, ...],
    whiteboard: Optional[Path],
    status: Optional[Path],
    faults: tuple[tuple[str, str], ...],
    only: tuple[str, ...],
    seed: Optional[int],
    seeds: Optional[int],
    settings: tuple[str, ...],
    as_json: bool,
    trace: Optional[str],
    html: Optional[Path],
    png: Optional[Path],
    svg: Optional[Path],
    schema: bool,
) -> None:
    """
    Play scenario files in memory and judge what comes out.

    With --from-whiteboard no file is needed: your cluster, and what --at says. The answer is then
    whether the engine comes back.

    Exit status: 0 everything held, or the engine comes back; 1 an expectation or a rule failed, or
    the engine stays down; 2 a file can't be used.
    """
    if schema:
        click.echo(json.dumps(json_schema(), indent=2))
        return
    if not files and whiteboard is None:
        msg = "give at least one scenario file (see docs/tutorial.md)"
        raise click.UsageError(msg)
    if seed is not None and seeds is not None:
        msg = "--seed and --seeds exclude each other"
        raise click.UsageError(msg)
    inputs = Inputs.files("a scenario file that is read", files) | Inputs.of(
        ("the whiteboard", whiteboard), ("the status", status)
    )
    check_outputs(inputs, {"--trace": trace, "--html": html})
    added = what_if(whiteboard, status, faults)
    overrides = settings_of(settings)
    if files:
        scenarios = chosen(files, only, overrides, added.additions)
    else:
        scenarios = [added.scenario(overrides)]
    drawings = Drawings(html, png, svg)
    drawings.check()
    added.say()
    numbers: list[Optional[int]] = [seed] if seeds is None else list(range(1, seeds + 1))
    is_long = len(scenarios) * len(numbers) >= _MANY_RUNS
    with _trace_to(trace) as write, late_bar("simulating", is_long=is_long) as show:
        outcomes = []
        for index, each in enumerate(scenarios):
            tell = _share(show, index, len(scenarios))
            outcomes.append(_outcome(each, numbers, write, tell))
    drawings.write(outcomes, "he-fsm simulate")
    # A question about one's own cluster, of which the file says nothing that could pass or fail.
    asks = whiteboard is not None
    if as_json:
        click.echo(json.dumps(_plain(outcomes, seeds, answers=asks), indent=2))
    else:
        from he_fsm.cli.output.timeline import print_outcomes  # noqa: PLC0415 - not needed for --json

        print_outcomes(outcomes, seeds, board=added.board, answers=asks)
    if not all(_is_well(outcome, answers=asks) for outcome in outcomes):
        sys.exit(1)


def chosen(
    files: tuple[str, ...],
    only: tuple[str, ...],
    overrides: dict[str, str],
    additions: Additions = NOTHING_ADDED,
) -> list[Scenario]:
    """
    Read scenario files, and return the scenarios with these names; without names, all.

    Raises:
        ScenarioError: A file is invalid, or no scenario has one of the names.
    """
    scenarios = [each for path in files for each in load_scenarios(path, overrides, additions)]
    if not only:
        return scenarios
    names = [each.name for each in scenarios]
    for name in only:
        if name not in names:
            msg = f"--only {name}: no such scenario; there are {', '.join(names)}"
            raise ScenarioError(msg)
    return [each for each in scenarios if each.name in only]


def _share(show: Show, index: int, count: int) -> Show:
    """Return what shows how much of one part of several is done, each as long as the others."""
    return lambda done: show((index + done) / count)


def _times(show: Show, until: float) -> Callable[[float], None]:
    """Return what takes a time of a run in place of how much of it is done."""
    return lambda t: show(t / until if until else 1.0)


def _outcome(scenario: Scenario, seeds: list[Optional[int]], write: Any, show: Show) -> Outcome:
    """Run a scenario. With several seeds, return the first failed run, otherwise the last run."""
    for index, seed in enumerate(seeds):
        tell = _share(show, index, len(seeds))
        outcome = run(
            scenario,
            seed=seed,
            trace=write and _named(write, scenario, seed),
            progress=_times(tell, scenario.until),
        )
        if not outcome.passed:
            break
    return outcome


def _named(write: Any, scenario: Scenario, seed: Optional[int]) -> Any:
    used = scenario.seed if seed is None else seed
    return lambda look: write({"scenario": scenario.name, "seed": used, **look})


@contextmanager
def _trace_to(path: Optional[str]) -> Iterator[Any]:
    if path is None:
        yield None
        return
    try:
        with Path(path).open("w", encoding="utf-8") as file:
            yield lambda look: _write_line(file, look)
    except OSError as error:
        msg = f"can't write {path}: {error.strerror}"
        raise HeFsmError(msg) from error


def _write_line(file: IO[str], look: dict[str, object]) -> None:
    file.write(json.dumps(look) + "\n")


def _is_well(outcome: Outcome, *, answers: bool) -> bool:
    if not outcome.passed:
        return False
    return not (answers and asks_nothing(outcome)) or answer_of(outcome).comes_back


def _plain(outcomes: list[Outcome], seeds: Optional[int], *, answers: bool) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "passed": all(outcome.passed for outcome in outcomes),
        "scenarios": [outcome.to_json() for outcome in outcomes],
    }
    if answers:
        for outcome, each in zip(outcomes, plain["scenarios"]):
            if asks_nothing(outcome):
                each["answer"] = answer_of(outcome).as_json()
    if seeds is not None:
        plain["seeds"] = seeds
    return plain
