"""`he-fsm storage`: whiteboard and leases on the shared storage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Optional

import click

from he_fsm.cli.broker import TIMEOUT_S
from he_fsm.cli.options.asking import Consent, destroys
from he_fsm.cli.options.config import config_option
from he_fsm.cli.options.hosts import HostId, host_ids
from he_fsm.cli.running import Commands
from he_fsm.errors import StorageError
from he_fsm.live.verdict import why_blind
from he_fsm.metadata.layout import HOST_ID_MAX, SLOT_BYTES
from he_fsm.runtime import registry
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.config import load_config
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.kinds import LeaseKind, Plan
from he_fsm.runtime.storage.set_up import HOSTS, plan, set_up
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile


@click.group(cls=Commands)
def storage() -> None:
    """Set up what the hosts share: whiteboard and leases."""


@storage.command()
@destroys
@config_option
@click.option(
    "--hosts",
    type=click.IntRange(1, HOST_ID_MAX),
    metavar="N",
    help=f"Make room on the whiteboard for the host ids 1 to N; {HOSTS} where not given.",
)
def init(path: Path, hosts: Optional[int], consent: Consent) -> None:
    """
    Make the whiteboard and the leases where there are none; what is there stays as it is.

    Once, on one host. With `leases: sanlock` its daemon has to run here, and the command asks
    before it writes leases over anything but zeros. Exit status 2: something can't be made,
    something else is there, or a whiteboard for fewer hosts than --hosts asks for; nothing was
    written over.
    """
    config = load_config(path)
    if consent.is_rehearsal:
        _say_plan(plan(config, hosts))
        return
    kind: LeaseKind = registry.load(registry.LEASES, config.leases)
    lost = () if consent.is_yes or kind.plan is None else kind.plan(config).overwrites
    if lost:
        consent.given(f"write leases over what stands there now: {'; '.join(lost)}")
    for line in set_up(config, hosts):
        click.echo(line)


def _say_plan(parts: Iterable[Plan]) -> None:
    for part in parts:
        if part.is_new:
            click.echo(f"would make {part.what}")
        else:
            click.echo(f"{part.what}: there already, would be left alone")
        for each in part.overwrites:
            click.echo(f"would write over {each}")


@storage.command(name="clear-slot")
@click.argument(
    "host_id",
    metavar="HOST_ID",
    type=HostId(),
    shell_complete=host_ids,
)
@destroys
@config_option
def clear_slot(path: Path, host_id: int, consent: Consent) -> None:
    """
    Empty the slot of a host that was removed, so that nobody asks why it is silent.

    On another host, whose agent and broker run. The host whose slot it is has to be stopped or
    dead, and must not own the engine's lease. Exit status 2: it is alive, or nobody can tell; the
    slot stays as it is.
    """
    config = load_config(path)
    broker = BrokerClient(str(config.broker_socket), TIMEOUT_S)
    what = _lost(broker.status(), host_id)
    if what is not None:
        if not consent.given(slot_deed(config, host_id, what)):
            return
        # safety: while somebody thought about it, the host may have come back.
        what = _lost(broker.status(), host_id)
    if what is None:
        click.echo(f"slot {host_id}: empty already, left alone")
        return
    board = WhiteboardFile(config.storage.whiteboard, config.storage.offset)
    board.write_slot(host_id, bytes(SLOT_BYTES))
    click.echo(f"slot {host_id} ({what}): emptied")


def slot_deed(config: Config, host_id: int, what: str) -> str:
    """Return what emptying a slot means, for the question; *what* names whose it is."""
    return (
        f"empty slot {host_id} ({what}) of the whiteboard in {config.storage.whiteboard}: the"
        " record in it is lost"
    )


def _lost(found: Mapping[str, Any], host_id: int) -> Optional[str]:
    """Return whose slot would be emptied; None: it is empty. Raises where it has to stay."""
    refusal = why_kept(found, host_id)
    if refusal is not None:
        msg = f"slot {host_id} stays as it is: {refusal}"
        raise StorageError(msg)
    record = found["hosts"].get(str(host_id))
    return None if record is None else str(record.get("hostname") or record["problem"])


def why_kept(found: Mapping[str, Any], host_id: int) -> Optional[str]:
    """Return why the slot of a host is not to be emptied, by the broker's status; None: it is."""
    agent, lease = found["agent"], found["lease"]
    blind = why_blind(found)
    if host_id == found["host_id"]:
        return f"host {host_id} is this host; use this command on another one"
    if blind is not None:
        return f"it is not known who is alive: {blind}"
    if host_id in agent.get("alive", ()):
        return f"host {host_id} is alive; stop its agent first: systemctl stop he-fsm-agent, there"
    if host_id in agent.get("pending", ()):
        return f"it is not known yet whether host {host_id} is alive; try again in a minute"
    if lease is None:
        return "the lease manager of this host does not answer; try again when it does"
    if lease["owner"] == host_id:
        return (
            f"host {host_id} owns the engine's lease, so the VM may run there; stop the VM, or wait"
            " until another host has taken the lease"
        )
    return None
