"""`he-fsm move`: move a healthy engine to another host, on request."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final, Optional

import click

from he_fsm.cli.broker import TIMEOUT_S
from he_fsm.cli.options.common import duration_of
from he_fsm.cli.options.config import config_option
from he_fsm.cli.options.hosts import HostId, host_ids
from he_fsm.live.moving import moves_back, target_of
from he_fsm.live.verdict import verdict_of
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.config import load_config
from he_fsm.runtime.vm_orders.asking import AgentsVm
from he_fsm.words import printable, span_text

_LOOK_S: Final = 0.25


@click.command()
@click.option(
    "--to",
    "wanted",
    type=HostId(),
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
    to = target_of(status, wanted, config.policy)
    vm = AgentsVm(config)
    number = vm.move(to)
    click.echo(f"the engine moves to host {to}")
    warning = moves_back(status, to, config.policy)
    if warning:
        click.echo(warning, err=True)
    if wait is not None:
        _await(broker, vm, number, to, wait)


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
