"""`he-fsm score`: one host's score, part by part."""

from __future__ import annotations

import json
import math
from typing import Any, Optional

import click

from he_fsm.cli.options.common import json_option, policy_of, policy_options
from he_fsm.score import NEVER, PREFERENCE_MAX, PREFERENCE_WORDS, Preference, Score
from he_fsm.score import score as score_host
from he_fsm.snapshot import Readings


class _Number(click.FloatRange):
    """A finite number, as a monitor reports it."""

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> float:
        """Convert the option's value to a number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a number that a monitor gives.", param, ctx)
        return number


class _Load(_Number):
    """A fraction of capacity; who writes percents is told so."""

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> float:
        """Convert the option's value to a fraction."""
        load = super().convert(value, param, ctx)
        if load > 1:
            percent = f"; {load / 100:g}?" if load <= 100 else ""
            self.fail(f"{value} is not a fraction of capacity, 0 to 1{percent}", param, ctx)
        return load


class _Preference(click.ParamType):
    """A number of points, or the word `never`."""

    name = "points|never"

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> Preference:
        """Convert the option's value to points, or to the word."""
        if value == NEVER:
            return NEVER
        try:
            points = int(value)
        except ValueError:
            points = PREFERENCE_MAX + 1
        if abs(points) > PREFERENCE_MAX:
            self.fail(f"expected {PREFERENCE_WORDS}, got {value}", param, ctx)
        return points


@click.command()
@click.option("--gateway", type=_Number(0, 1), default=1.0, help="Fraction of pings answered.")
@click.option("--bridge", type=_Number(0, 1), default=1.0, help="1: up, 0: down.")
@click.option("--mem-free", type=_Number(0), default=12367.0, help="MiB, without the engine VM.")
@click.option("--cpu-load", type=_Load(0), default=0.05, help="Fraction of capacity.")
@click.option("--mem-load", type=_Load(0), default=0.10, help="Fraction of capacity.")
@click.option("--memory", type=_Number(0), default=4096.0, help="MiB that the engine VM needs.")
@click.option("--failed-starts", type=click.IntRange(0), default=0, help="Not yet forgotten.")
@click.option("--maintenance", is_flag=True, help="Local maintenance is set.")
@click.option(
    "--preference", type=_Preference(), default=0, help="host.preference: -100 to 100, or never."
)
@click.option("--vm-here", is_flag=True, help="The engine VM runs on this host.")
@json_option
@policy_options
def score(  # noqa: PLR0913 - one for each option
    gateway: float,
    bridge: float,
    mem_free: float,
    cpu_load: float,
    mem_load: float,
    memory: float,
    failed_starts: int,
    maintenance: bool,
    preference: Preference,
    vm_here: bool,
    as_json: bool,
    policy: str,
    settings: tuple[str, ...],
) -> None:
    """Score a host by its readings; what is not given is healthy."""
    rules = policy_of(policy, settings)
    readings = Readings.of(
        gateway=gateway, bridge=bridge, mem_free=mem_free, cpu_load=cpu_load, mem_load=mem_load
    )
    found = score_host(
        readings,
        rules,
        memory_needed_mib=memory,
        vm_is_here=vm_here,
        failed_starts=failed_starts,
        local_maintenance=maintenance,
        preference=preference,
    )
    if as_json:
        click.echo(json.dumps(_plain(found, rules.name, rules.score_max), indent=2))
        return
    for part in found.parts:
        click.echo(f"{part.name:<14} {part.points:>6} of {part.weight:>5}   {part.why}")
    if found.zero_because:
        click.echo(f"{'':14} {'':6} score 0: {found.zero_because}")
    click.secho(f"{'score':<14} {found.total:>6} of {rules.score_max:>5}", bold=True)


def _plain(found: Score, policy: str, score_max: int) -> dict[str, object]:
    return {
        "policy": policy,
        "score": found.total,
        "of": score_max,
        "zero_because": found.zero_because or None,
        "parts": [part._asdict() for part in found.parts],
    }
