"""`he-fsm doctor`: look at this host from the bottom up, and say what to do about each fault."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Optional

import click

from he_fsm.cli.live.examine import Check, Level, of_daemons, of_losses, of_machine, worst
from he_fsm.cli.options.common import duration_of, json_option
from he_fsm.cli.options.config import config_option
from he_fsm.errors import HeFsmError
from he_fsm.live.seen import read_with
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.config import Config, load_config
from he_fsm.words import printable

_ANSWERS_WITHIN_S: Final = 3.0
_EXITS: Final = {Level.OK: 0, Level.WARNING: 1, Level.FATAL: 3}
_COLOURS: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.FATAL: "red"}


@click.command()
@config_option
@click.option(
    "--measure",
    "measure_s",
    callback=duration_of,
    metavar="TIME",
    help="Measure the storage for so long, like 60s, and say which io_timeout follows.",
)
@json_option
def doctor(path: Path, measure_s: Optional[float], as_json: bool) -> None:
    """
    Look at this host, and at what its cluster would survive.

    Clocks, storage, units, what the configuration names, how people are told, daemons, leases and
    the engine. Then the simulator is asked about the loss of each host, of the gateway and of the
    storage. Nothing is changed.

    Exit status: 0 all is well; 1 there are warnings; 3 a failover would not succeed; 2 the
    configuration can't be used.
    """
    config = load_config(path)
    checks = []
    for check in _checks(path, config, measure_s):
        checks.append(check)
        if not as_json:
            _show(check)
    level = worst(checks)
    if as_json:
        plain = {"result": level.value, "checks": [check.as_json() for check in checks]}
        click.echo(json.dumps(plain, indent=2))
    sys.exit(_EXITS[level])


def _checks(path: Path, config: Config, measure_s: Optional[float]) -> Iterator[Check]:
    yield from of_machine(path, config, measure_s)
    broker = BrokerClient(str(config.broker_socket), _ANSWERS_WITHIN_S)
    try:
        seen = read_with(broker, config.policy)
    except HeFsmError as error:
        yield Check("broker", Level.FATAL, str(error), "systemctl enable --now he-fsm-broker")
        return
    yield from of_daemons(seen, config.policy)
    yield from of_losses(seen)


def _show(check: Check) -> None:
    level = click.style(f"{check.level.value:8}", fg=_COLOURS[check.level])
    mend = f": {check.mend}" if check.mend else ""
    click.echo(f"{level} {check.name:14} {printable(check.text + mend)}")
