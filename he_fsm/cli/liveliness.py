"""`he-fsm liveliness`: what the engine's health page says, asked at this moment from here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from he_fsm.cli.options.common import json_option
from he_fsm.cli.options.config import config_option
from he_fsm.errors import ConfigError
from he_fsm.runtime.config import load_config
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.monitors.engine_health import EngineHealth
from he_fsm.runtime.ports import HealthReport
from he_fsm.snapshot import Health


@click.command()
@config_option
@json_option
def liveliness(path: Path, as_json: bool) -> None:
    """
    Ask the engine's health page whether the engine is up.

    Exit status: 0 it is; 1 it is not; 2 the configuration names no such page.
    """
    config = load_config(path)
    report = asked(config)
    is_up = report.health is Health.GOOD
    if as_json:
        shown = {"up": is_up, "url": config.health_url, "why": report.why}
        click.echo(json.dumps(shown, indent=2))
    else:
        word = "is up" if is_up else f"is not up: {report.why}"
        click.echo(f"the engine {word} ({config.health_url})")
    sys.exit(0 if is_up else 1)


def asked(config: Config) -> HealthReport:
    """
    Ask the health page once.

    Raises:
        ConfigError: the configuration does not say where it is.
    """
    if not config.health_url:
        msg = "the configuration does not say where the engine is: set engine.health.url"
        raise ConfigError(msg)
    page = config.engine.health
    verify = str(page.verify) if isinstance(page.verify, Path) else page.verify
    return EngineHealth(config.health_url, page.body, page.timeout_s, verify).measure()
