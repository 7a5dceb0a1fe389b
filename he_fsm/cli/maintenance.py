"""`he-fsm maintenance`: the two independent flags, shown before and after a change."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from typing import Optional

import click

from he_fsm.cli.broker import broker_option
from he_fsm.cli.live.draining import Progress, drained
from he_fsm.cli.options.common import duration_of, json_option
from he_fsm.live.summary import end_text
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.broker.protocol import Maintenance
from he_fsm.words import printable


@click.command()
@click.argument("mode", type=click.Choice(["local", "global", "none", "show"]), default="show")
@click.option(
    *("--off", "--cancel"), "off", is_flag=True, help="End this one flag; the other stays as it is."
)
@click.option(
    "--for",
    "for_s",
    callback=duration_of,
    metavar="TIME",
    help="With `local` or `global`: end it by itself after this time, like 2h.",
)
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
def maintenance(  # noqa: PLR0913 - one for each option
    broker: BrokerClient,
    mode: str,
    off: bool,
    for_s: Optional[float],
    wait: Optional[float],
    as_json: bool,
) -> None:
    """
    Set or show the maintenance flags.

    `local` takes this host out: the engine leaves first where it can. `global` makes all hosts
    keep their hands off the engine. The two are independent: setting one leaves the other;
    `none` ends both, `local --off` and `global --off` one.

    With `--for 2h` a flag ends by itself, by the wall clock, whether daemons and hosts run
    meanwhile or not. Setting it again with another time, or without one, replaces the end.

    Exit status: 0 it is so; 1, with --wait alone: the engine has not left, and why; 2 the flags
    can't be changed.
    """
    if wait is not None and (mode != "local" or off):
        msg = "--wait goes with local"
        raise click.UsageError(msg)
    if off and mode not in ("local", "global"):
        msg = "--off goes with local or global"
        raise click.UsageError(msg)
    if for_s is not None and (off or mode not in ("local", "global")):
        msg = "--for goes with local or global, and not with --off"
        raise click.UsageError(msg)
    if for_s is not None and for_s < 1:
        msg = "--for: expected a time of 1s or more, like 2h"
        raise click.UsageError(msg)
    before = broker.maintenance()
    after = before
    if mode != "show":
        local, everywhere = _wanted(mode, off=off)
        until = None if for_s is None else math.ceil(time.time() + for_s)
        after = broker.maintenance(local=local, everywhere=everywhere, until=until)
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


def _plain(flags: Maintenance) -> dict[str, Optional[int]]:
    plain: dict[str, Optional[int]] = {"local": flags.local, "global": flags.everywhere}
    ends = {"local_until": flags.local_until, "global_until": flags.everywhere_until}
    return {**plain, **{name: until for name, until in ends.items() if until is not None}}


_WORDS = {True: "on", False: "off", None: "unknown (slot 0 can't be read, or holds no flag)"}


def _text(flags: Maintenance) -> str:
    local, everywhere = end_text(flags.local_until), end_text(flags.everywhere_until)
    return f"local {_WORDS[flags.local]}{local}, global {_WORDS[flags.everywhere]}{everywhere}"
