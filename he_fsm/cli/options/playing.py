"""Shared by the commands that execute many runs: where they execute, and how they stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Callable, Optional, TypeVar

import click

from he_fsm.campaign.run import Player, player_here
from he_fsm.cli.options.common import set_option, settings_of

Command = TypeVar("Command", bound=Callable[..., Any])


def playing_options(runs_min: int) -> Callable[[Command], Command]:
    """Add `--runs` (with this minimum), `--set`, `--jobs` and `--scheduler`."""
    options = (
        click.option("--runs", type=click.IntRange(runs_min), help="Runs of each variation."),
        set_option("horizon=10y"),
        click.option(
            "--jobs", type=click.IntRange(1), help="Processes; one for each core if not said."
        ),
        click.option("--scheduler", metavar="ADDRESS", help="Play the runs on this Dask cluster."),
    )

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def overrides_of(settings: tuple[str, ...], runs: Optional[int]) -> dict[str, str]:
    """Return the values that replace those of the file."""
    return settings_of(settings) | ({} if runs is None else {"runs": str(runs)})


@contextmanager
def player_for(scheduler: Optional[str], jobs: Optional[int]) -> Iterator[Player]:
    """Return what executes the runs: a Dask cluster, or this machine."""
    if scheduler is None:
        with player_here(jobs) as here:
            yield here
        return
    from he_fsm.campaign.cluster import player_at  # noqa: PLC0415 - the extra `dask`

    with player_at(scheduler) as there:
        if not there.has_workers:
            click.echo(f"note: no worker has joined {scheduler} yet; waiting", err=True)
        yield there


@contextmanager
def terminated_as_stopped() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that the campaign's processes end with it."""

    def stop(_signal: int, _frame: Optional[FrameType]) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
