"""`he-fsm status`: the live cluster, as this host's broker shows it."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, NoReturn

import click

from he_fsm.cli.broker import broker_option
from he_fsm.cli.options.common import json_option
from he_fsm.cli.output.blocks import damaged_lines, status_block
from he_fsm.errors import BrokerError, HeFsmError
from he_fsm.live.summary import record_of, summary
from he_fsm.live.verdict import Verdict, no_answer, verdict_of
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.words import printable


@click.command()
@broker_option
@json_option
@click.option("--watch", is_flag=True, help="Show a live table until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1),
    default=2.0,
    show_default=True,
    metavar="S",
    help="Seconds between two looks of --watch.",
)
def status(broker: BrokerClient, as_json: bool, watch: bool, interval: float) -> None:
    """
    Show the cluster: engine, hosts, scores and why, lease.

    Exit status: 0 the engine is good; 1 it is up, but something is wrong; 3 it is down, or this
    host can't tell; 2 wrong usage.
    """
    if watch:
        _watch(broker, interval)
        return
    try:
        found = broker.status()
    except BrokerError as error:
        _show_silence(no_answer(str(error)), as_json=as_json)
    verdict = verdict_of(found)
    if as_json:
        click.echo(json.dumps({"verdict": verdict.as_json(), **found}, indent=2))
    else:
        _show(found)
    sys.exit(verdict.exit_status)


def _show_silence(verdict: Verdict, *, as_json: bool) -> NoReturn:
    click.echo(json.dumps({"verdict": verdict.as_json()}, indent=2) if as_json else verdict.line)
    sys.exit(verdict.exit_status)


def _show(found: dict[str, Any]) -> None:
    for line in summary(found):
        click.echo(printable(line))
    hosts = {int(key): plain for key, plain in found["hosts"].items()}
    alive = found["agent"].get("alive", ())
    for host_id, plain in sorted(hosts.items()):
        if "problem" not in plain:
            click.echo()
            for line in status_block(record_of(host_id, plain), alive=host_id in alive):
                click.echo(line)
    damaged = {host_id: plain for host_id, plain in hosts.items() if "problem" in plain}
    for line in damaged_lines(damaged):
        click.echo(line)


def _watch(broker: BrokerClient, interval: float) -> None:
    from rich.console import Group  # noqa: PLC0415 - only for a live table
    from rich.live import Live  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    from he_fsm.cli.output.live import table_of  # noqa: PLC0415 - as above

    table = table_of(broker.status())
    try:
        with Live(table, auto_refresh=False) as live:
            while True:
                time.sleep(interval)
                try:
                    table = table_of(broker.status())
                except HeFsmError as error:
                    # The broker may come back; until then the last table stays, and says so.
                    live.update(Group(Text(f"STALE: {error}", "red"), table), refresh=True)
                else:
                    live.update(table, refresh=True)
    except KeyboardInterrupt:
        return
