"""`he-fsm move`: move a healthy engine to another host, on request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Optional

import click

from he_fsm.cli.broker import TIMEOUT_S
from he_fsm.cli.options.common import duration_of
from he_fsm.cli.options.config import config_option
from he_fsm.cli.options.hosts import host_ids
from he_fsm.cli.output.verdict import verdict_of
from he_fsm.errors import HypervisorError
from he_fsm.policy import Policy
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.config import load_config
from he_fsm.runtime.vm_orders.asking import AgentsVm
from he_fsm.words import printable, span_text

_LOOK_S: Final = 0.25


@click.command()
@click.option(
    "--to",
    "wanted",
    type=click.IntRange(1),
    shell_complete=host_ids,
    metavar="HOST",
    help="Its host id.",
)
@click.option(
    "--wait",
    callback=duration_of,
    is_flag=False,
    flag_value="10m",
    metavar="TIME",
    help="Wait until the engine is good there, so long at most; 10m.",
)
@config_option
def move(path: Path, wanted: Optional[int], wait: Optional[float]) -> None:
    """
    Move the engine from this host to HOST, or to the best other host.

    It moves while it runs. Exit status: 0 the move has begun, or with --wait it has arrived; 1 it
    has not arrived, and why; 2 it can't be moved, and nothing was done.
    """
    config = load_config(path)
    broker = BrokerClient(str(config.broker_socket), TIMEOUT_S)
    status = broker.status()
    to = _target(status, wanted, config.policy)
    own = status["hosts"].get(str(status["host_id"]), {}).get("score", 0)
    vm = AgentsVm(config)
    number = vm.move(to)
    click.echo(f"the engine moves to host {to}")
    _warn(own - status["hosts"][str(to)]["score"], to, config.policy)
    if wait is not None:
        _await(broker, vm, number, to, wait)


def _target(status: Mapping[str, Any], wanted: Optional[int], policy: Policy) -> int:
    """Return where the engine is to go; raises `HypervisorError` where it can't."""
    here, runs_on = status["host_id"], verdict_of(status).engine_on
    if runs_on is None:
        msg = f"nothing moves: {verdict_of(status).line}"
        raise HypervisorError(msg)
    if runs_on != here:
        msg = f"the engine is on host {runs_on}: run this command there"
        raise HypervisorError(msg)
    fit = {
        int(host_id): plain["score"]
        for host_id, plain in status["hosts"].items()
        if int(host_id) != here and not _why_not(status, int(host_id), policy)
    }
    if wanted is None:
        if not fit:
            msg = "there is no other host that could take the engine (he-fsm status)"
            raise HypervisorError(msg)
        return min(fit, key=lambda host_id: (-fit[host_id], host_id))
    if wanted == here:
        msg = f"the engine is on host {here} already"
        raise HypervisorError(msg)
    if wanted not in fit:
        msg = f"host {wanted} can't take the engine: {_why_not(status, wanted, policy)}"
        raise HypervisorError(msg)
    return wanted


def _why_not(status: Mapping[str, Any], host_id: int, policy: Policy) -> str:
    """Return why a host is no target; empty: it may be one."""
    plain = status["hosts"].get(str(host_id))
    if plain is None:
        return "it has no slot on the whiteboard"
    if "problem" in plain:
        return f"its slot can't be believed: {plain['detail']}"
    if host_id not in status["agent"].get("alive", ()):
        return "it is not alive, as this host sees it"
    if plain["maintenance"]:
        return "it is in local maintenance"
    if not 0 < plain["score"] <= policy.score_max:
        return f"its score is {plain['score']}"
    return ""


def _warn(worse_by: int, to: int, policy: Policy) -> None:
    """Say if the agents will move the engine back."""
    if worse_by >= policy.migration_threshold:
        click.echo(
            f"host {to} is worse by {worse_by}: the engine moves back after"
            f" {span_text(policy.migration_hold_s)}, unless global maintenance is on",
            err=True,
        )


def _await(broker: BrokerClient, vm: AgentsVm, number: int, to: int, within_s: float) -> None:
    """Wait until the engine is good on the host *to*; exit status 1 where it is not."""
    ends_at = time.monotonic() + within_s
    while time.monotonic() < ends_at:
        why = vm.why_failed(number)
        if why:
            click.echo(printable(why))
            raise SystemExit(1)
        verdict = verdict_of(broker.status())
        if verdict.engine_on == to and verdict.engine == "good":
            click.echo(f"the engine is good on host {to}")
            return
        time.sleep(_LOOK_S)
    line = printable(verdict_of(broker.status()).line)
    click.echo(f"not there after {span_text(within_s)}: {line}")
    raise SystemExit(1)
