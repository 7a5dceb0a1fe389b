"""`he-fsm undeploy`: take this host out of its cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from he_fsm.cli.deploying.dialogue import Dialogue
from he_fsm.cli.live.draining import drained
from he_fsm.cli.options.asking import Consent, destroys
from he_fsm.cli.options.common import duration_of
from he_fsm.cli.options.config import config_option
from he_fsm.deploy.carrying import leaving
from he_fsm.deploy.carrying.machine import has_systemd
from he_fsm.deploy.planning.places import Own
from he_fsm.deploy.planning.stages import leaving_stages
from he_fsm.errors import BrokerError, DeployError
from he_fsm.live.verdict import verdict_of
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.config import Config, load_config

_ANSWERS_S: Final = 10.0


@click.command()
@config_option
@click.option(
    "--wait",
    "wait_s",
    callback=duration_of,
    default="10m",
    show_default=True,
    metavar="TIME",
    help="Wait so long at most for the engine to leave.",
)
@destroys
def undeploy(path: Path, wait_s: float, consent: Consent) -> None:
    """
    Take this host out: the engine moves away, the host id is given back, its slot is emptied.

    Its own files are removed; nothing on the storage is, but the host's slot and its line in the
    list of hosts. The last host keeps the VM's disk.

    Exit status: 0 done; 1 the engine can't leave, and the host is in local maintenance; 2 it can't
    be begun, or a step has failed.
    """
    config = load_config(path)
    own = Own(
        config=str(path.absolute()),
        run_dir=str(config.run_dir),
        state_dir=str(config.state_dir),
        ovirt_dir=str(config.ovirt.setup_dir if config.ovirt else Own().ovirt_dir),
    )
    dialogue = Dialogue(is_there=False)
    steps = []
    for stage in leaving_stages(own, config.host.id, has_systemd=has_systemd()):
        steps += [f"{stage.title}:", *(f"    {line}" for line in stage.does)]
    if not consent.given(f"take host {config.host.id} out of its cluster", steps):
        return
    if not _is_empty(config, wait_s, dialogue):
        click.get_current_context().exit(1)
    leaving.leave(config, own, dialogue, has_systemd=has_systemd())
    dialogue.text(f"Host {config.host.id} is out of its cluster")


def _is_empty(config: Config, wait_s: float, dialogue: Dialogue) -> bool:
    """Have the engine leave; say why not, where it can't."""
    broker = BrokerClient(str(config.broker_socket), _ANSWERS_S)
    try:
        status = broker.status()
    except BrokerError:
        # safety: without daemons nothing is known here but what the leases and the VM's file say.
        leaving.check_stopped(config)
        dialogue.info("The daemons of this host do not run, and no VM is here")
        return True
    if leaving.is_last(config):
        msg = (
            "this is the only host of its cluster: set global maintenance, and shut the VM down"
            " (he-fsm maintenance global; he-fsm vm shutdown), then stop the daemons"
        )
        if verdict_of(status).engine_on is not None:
            raise DeployError(msg)
    dialogue.info("Moving the engine away")
    broker.maintenance(local=True)
    for progress in drained(broker, wait_s):
        dialogue.info(progress.text)
    if not progress.is_empty:
        dialogue.complain(
            "the engine has not left, so this host stays: it is in local maintenance now (he-fsm"
            " maintenance local --off ends that)"
        )
    return progress.is_empty
