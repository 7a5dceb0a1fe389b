"""`he-fsm console`: see the engine VM's screen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from he_fsm.cli.config_option import config_option
from he_fsm.cli.options import json_option
from he_fsm.errors import ConfigError, HypervisorError, MissingExtraError
from he_fsm.runtime.config import load_config

if TYPE_CHECKING:
    from he_fsm.runtime.config import Config, ConsoleConfig

_VALID_S = 120
_VALID_MAX_S = 3600


@click.command()
@config_option
@click.option(
    "--valid",
    type=click.IntRange(1, _VALID_MAX_S),
    default=_VALID_S,
    show_default=True,
    metavar="S",
    help="Seconds within which to connect.",
)
@json_option
def console(path: Path, valid: int, as_json: bool) -> None:
    """
    Print where the VM's screen is, and a password that is good for one connection.

    On the host that runs the VM. Exit status 2: the VM is not here, or has no screen.
    """
    config = load_config(path)
    screen = _screen(config)
    try:
        # Needs the extra `qemu`.
        from he_fsm.runtime.hypervisors.qemu_console import give_out  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error.name, "qemu", "he-fsm console") from error
    try:
        password = give_out(config.run_dir, screen.kind, valid)
    except OSError as error:
        msg = f"QEMU's monitor can't be used: {error.strerror}"
        raise HypervisorError(msg) from error
    if as_json:
        shown = {"protocol": screen.kind, "address": screen.address, "port": screen.port}
        click.echo(json.dumps({**shown, "password": password, "valid_s": valid}, indent=2))
        return
    click.echo(f"Screen:   {screen.kind}://{screen.address}:{screen.port}")
    click.echo(f"Password: {password} (for one connection, within {valid} s)")


def _screen(config: Config) -> ConsoleConfig:
    vm = config.hypervisor.vm
    if config.hypervisor.kind != "qemu" or vm is None:
        msg = "only a VM of hypervisor.kind qemu has a screen"
        raise ConfigError(msg)
    if vm.console is None:
        msg = "the VM has no screen: hypervisor.vm.console is not set"
        raise ConfigError(msg)
    return vm.console
