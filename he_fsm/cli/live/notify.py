"""`he-fsm notify`: whether people would be reached."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from he_fsm.cli.options.common import json_option
from he_fsm.cli.options.config import config_option
from he_fsm.cli.running import Commands
from he_fsm.errors import ConfigError
from he_fsm.runtime.config import load_config
from he_fsm.runtime.notify.make import make_channels
from he_fsm.runtime.notify.notifier import send_test
from he_fsm.words import printable


@click.group(cls=Commands)
def notify() -> None:
    """Try the ways by which people are told of the engine."""


@notify.command()
@config_option
@json_option
def test(path: Path, as_json: bool) -> None:
    """
    Send one test message by mail, and by the hook, at once.

    Exit status: 0 each was sent; 1 one was not, and why; 2 the configuration can't be used, or
    names no way.
    """
    config = load_config(path)
    channels = make_channels(config)
    if not channels:
        msg = f"{path}: nobody is told of anything: set notify.smtp or notify.hook"
        raise ConfigError(msg)
    found = send_test(channels, config.host.id, config.host.hostname)
    if as_json:
        click.echo(json.dumps({name: {"sent": not why, "why": why} for name, why in found.items()}))
    else:
        for name, fault in found.items():
            click.echo(f"{name}: {'sent' if fault is None else printable(fault)}")
    if any(fault is not None for fault in found.values()):
        sys.exit(1)
