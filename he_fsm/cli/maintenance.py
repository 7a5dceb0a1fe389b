"""`he-fsm maintenance`: the two independent flags, shown before and after a change."""

from __future__ import annotations

import json
from typing import Optional

import click

from he_fsm.cli.broker import broker_option
from he_fsm.cli.options.common import json_option
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.broker.protocol import Maintenance


@click.command()
@click.argument("mode", type=click.Choice(["local", "global", "none", "show"]), default="show")
@click.option("--off", is_flag=True, help="End this one flag; the other stays as it is.")
@broker_option
@json_option
def maintenance(broker: BrokerClient, mode: str, off: bool, as_json: bool) -> None:
    """
    Set or show the maintenance flags.

    `local` takes this host out: the engine leaves first where it can. `global` makes all hosts
    keep their hands off the engine. The two are independent: setting one leaves the other;
    `none` ends both, `local --off` and `global --off` one.
    """
    if off and mode not in ("local", "global"):
        msg = "--off goes with local or global"
        raise click.UsageError(msg)
    before = broker.maintenance()
    after = before
    if mode != "show":
        local, everywhere = _wanted(mode, off=off)
        after = broker.maintenance(local=local, everywhere=everywhere)
    if as_json:
        click.echo(json.dumps({"before": _plain(before), "after": _plain(after)}, indent=2))
        return
    if mode == "show":
        click.echo(_text(after))
        return
    click.echo(f"before: {_text(before)}")
    click.echo(f"after:  {_text(after)}")


def _wanted(mode: str, *, off: bool) -> tuple[Optional[bool], Optional[bool]]:
    if mode == "none":
        return False, False
    return (not off, None) if mode == "local" else (None, not off)


def _plain(flags: Maintenance) -> dict[str, Optional[bool]]:
    return {"local": flags.local, "global": flags.everywhere}


_WORDS = {True: "on", False: "off", None: "unknown (slot 0 can't be read, or holds no flag)"}


def _text(flags: Maintenance) -> str:
    return f"local {_WORDS[flags.local]}, global {_WORDS[flags.everywhere]}"
