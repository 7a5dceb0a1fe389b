"""`he-fsm maintenance`: the two independent flags, shown before and after a change."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Optional

import click

from he_fsm.cli.broker import broker_option
from he_fsm.cli.live.draining import Progress, drained
from he_fsm.cli.options.common import duration_of, json_option
from he_fsm.cli.output.blocks import printable
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.broker.protocol import Maintenance


@click.command()
@click.argument("mode", type=click.Choice(["local", "global", "none", "show"]), default="show")
@click.option("--off", is_flag=True, help="End this one flag; the other stays as it is.")
@click.option(
    "--wait",
    callback=duration_of,
    is_flag=False,
    flag_value="10m",
    metavar="TIME",
    help="After `local`, wait until the engine has left this host, so long at most; 10m.",
)
@broker_option
@json_option
def maintenance(
    broker: BrokerClient, mode: str, off: bool, wait: Optional[float], as_json: bool
) -> None:
    """
    Set or show the maintenance flags.

    `local` takes this host out: the engine leaves first where it can. `global` makes all hosts
    keep their hands off the engine. The two are independent: setting one leaves the other;
    `none` ends both, `local --off` and `global --off` one.

    Exit status: 0 it is so; 1, with --wait alone: the engine has not left, and why; 2 the flags
    can't be changed.
    """
    if wait is not None and (mode != "local" or off):
        msg = "--wait goes with local"
        raise click.UsageError(msg)
    if off and mode not in ("local", "global"):
        msg = "--off goes with local or global"
        raise click.UsageError(msg)
    before = broker.maintenance()
    after = before
    if mode != "show":
        local, everywhere = _wanted(mode, off=off)
        after = broker.maintenance(local=local, everywhere=everywhere)
    if as_json:
        plain: dict[str, object] = {"before": _plain(before), "after": _plain(after)}
        end = None if wait is None else _last(drained(broker, wait))
        if end is not None:
            plain["drained"] = {"empty": end.is_empty, "text": end.text}
        click.echo(json.dumps(plain, indent=2))
        _exit(end)
        return
    if mode == "show":
        click.echo(_text(after))
        return
    click.echo(f"before: {_text(before)}")
    click.echo(f"after:  {_text(after)}")
    if wait is not None:
        _exit(_last(drained(broker, wait), shows=True))


def _last(course: Iterator[Progress], *, shows: bool = False) -> Progress:
    """Return how a drain has ended; *shows*: print each step."""
    for each in course:
        if shows:
            click.echo(printable(each.text))
        end = each
    return end


def _exit(end: Optional[Progress]) -> None:
    if end is not None and not end.is_empty:
        sys.exit(1)


def _wanted(mode: str, *, off: bool) -> tuple[Optional[bool], Optional[bool]]:
    if mode == "none":
        return False, False
    return (not off, None) if mode == "local" else (None, not off)


def _plain(flags: Maintenance) -> dict[str, Optional[bool]]:
    return {"local": flags.local, "global": flags.everywhere}


_WORDS = {True: "on", False: "off", None: "unknown (slot 0 can't be read, or holds no flag)"}


def _text(flags: Maintenance) -> str:
    return f"local {_WORDS[flags.local]}, global {_WORDS[flags.everywhere]}"
