"""What the commands that play many runs share: where these are played, and how they are stopped."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Callable, Optional, TypeVar

import click

from he_fsm.campaign.run import Player, player_here
from he_fsm.cli.options import set_option, settings_of

Command = TypeVar("Command", bound=Callable[..., Any])


def playing_options(runs_min: int) -> Callable[[Command], Command]:
    """Add `--runs` (at least so many), `--set`, `--jobs` and `--scheduler`."""
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
    """Give what replaces the file's values."""
    return settings_of(settings) | ({} if runs is None else {"runs": str(runs)})


@contextmanager
def player_for(scheduler: Optional[str], jobs: Optional[int]) -> Iterator[Player]:
    """Give who plays the runs: a Dask cluster, or this machine."""
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
    """Let SIGTERM end a campaign as Ctrl-C does, so that its processes end with it."""

    def stop(_signal: int, _frame: Optional[FrameType]) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
