"""`he-fsm status`: the live cluster, as this host's broker shows it."""

from __future__ import annotations

import json
import time
from typing import Any, Optional

import click

from he_fsm.cli.blocks import status_block
from he_fsm.cli.broker import broker_option
from he_fsm.cli.options import json_option
from he_fsm.errors import HeFsmError
from he_fsm.metadata import EngineStatus, HostRecord
from he_fsm.runtime.broker.client import BrokerClient

# An agent that is silent for so many loops does not run, or hangs.
_LOOPS_MISSED = 3


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
    """Show the cluster: hosts, scores and why, engine, lease."""
    if watch:
        _watch(broker, interval)
        return
    found = broker.status()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for line in summary(found):
        click.echo(line)
    click.echo()
    for host, plain in sorted(found["hosts"].items(), key=lambda item: int(item[0])):
        for line in _block(int(host), plain, found):
            click.echo(line)
        click.echo()


def summary(found: dict[str, Any]) -> list[str]:
    """Give the lines above the blocks: flags, lease, this host's agent, what is stale."""
    flags, here = found["maintenance"], found["host_id"]
    words = {True: "on", False: "off", None: "unknown"}
    everywhere, local = words[flags["global"]], words[flags["local"]]
    lines = [
        f"Global maintenance: {everywhere}, local maintenance of host {here}: {local}",
        f"Engine's lease: {lease_text(found['lease'])}",
        f"Agent of host {here}: {_agent_text(found['agent'])}",
    ]
    if found["storage"] != "ok":
        age = found["read_age_s"]
        read = "was never read" if age is None else f"was last read {age:.0f} s ago"
        lines.append(f"STALE: {found['storage']}; what follows {read}")
    return lines


def _agent_text(agent: dict[str, Any]) -> str:
    age_s = agent["age_s"]
    if age_s is None:
        return "has not reported since the broker started"
    text = f"{agent['state']}, {agent['why']} ({age_s:.0f} s ago)"
    loop_s = agent.get("loop_s")
    if loop_s is not None and age_s > _LOOPS_MISSED * loop_s:
        return f"STALE, it does not report any more; it was {text}"
    return text


def lease_text(lease: Optional[dict[str, Any]]) -> str:
    """Give in words who holds the engine's lease, and when it can be taken."""
    if lease is None:
        return "not known, the lease manager does not answer"
    if lease["owner"] is None:
        return "free"
    text = f"host {lease['owner']}"
    if lease["generation"] is not None:
        text += f", generation {lease['generation']}"
    if lease["renewal_age_s"] is not None:
        text += f", renewed {lease['renewal_age_s']:.0f} s ago"
    if lease["free_in_s"] is not None:
        text += f", renews no more: can be taken in {lease['free_in_s']:.0f} s"
    elif lease.get("runs_out_in_s") is not None:
        text += f" (could be taken in {lease['runs_out_in_s']:.0f} s if it renewed no more)"
    return text


def _block(host_id: int, plain: dict[str, Any], found: dict[str, Any]) -> list[str]:
    if "problem" in plain:
        return [
            f"--== Host {host_id} status ==--",
            "",
            f"damaged: {plain['problem']}, {plain['detail']}",
        ]
    return status_block(record_of(host_id, plain), alive=host_id in found["agent"].get("alive", ()))


def record_of(host_id: int, plain: dict[str, Any]) -> HostRecord:
    """Make a record of what the broker's status says."""
    return HostRecord(
        host_id=host_id,
        timestamp=plain["timestamp"],
        score=plain["score"],
        engine=EngineStatus(**plain["engine"]),
        hostname=plain["hostname"],
        local_maintenance=plain["maintenance"],
        stopped=plain["stopped"],
        text="\n".join(plain["text"]),
    )


def _watch(broker: BrokerClient, interval: float) -> None:
    from rich.console import Group  # noqa: PLC0415 - only for a live table
    from rich.live import Live  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    from he_fsm.cli.live import table_of  # noqa: PLC0415 - as above

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
