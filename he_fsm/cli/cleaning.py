"""`he-fsm clean`, `he-fsm lockspace`: slots and leases that nobody needs any more."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Optional

import click

from he_fsm.cli.broker import TIMEOUT_S
from he_fsm.cli.options.asking import Consent, destroys
from he_fsm.cli.options.config import config_option
from he_fsm.cli.options.hosts import HostId, host_ids
from he_fsm.cli.running import Commands
from he_fsm.cli.storage import slot_deed, why_kept
from he_fsm.errors import ConfigError, LockspaceError, StorageError
from he_fsm.live.verdict import is_stale, is_stopped
from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.config import load_config
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.leases.resetting import Patience, reset, watching
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.parts import lease_kind
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile

# A host id that was taken a moment ago, or is being taken, is there by then (seconds). Source: a
# join with sanlock's usual times takes 20 to 40 s.
_JOINS_WITHIN_S: Final = 90.0
_LOOK_S: Final = 0.5


@click.command()
@click.option(
    "--host-id",
    type=HostId(),
    shell_complete=host_ids,
    metavar="N",
    help="The slot of this host, in place of that of the host on which the command runs.",
)
@click.option("--force", is_flag=True, help="Also where the host did not stop cleanly.")
@destroys
@config_option
def clean(path: Path, host_id: Optional[int], force: bool, consent: Consent) -> None:
    """
    Empty a slot of the whiteboard: this host's own, or that of a host that was removed.

    The host whose slot it is has to be stopped; with --force, stopped or dead. Exit status 2: it is
    alive, or owns the engine's lease, or nobody can tell; the slot stays as it is.
    """
    config = load_config(path)
    wanted = host_id or config.host.id
    said = clean_slot(config, wanted, consent, is_forced=force, force="--force")
    if said is not None:
        click.echo(said)


@click.group(cls=Commands)
def lockspace() -> None:
    """Write the leases of all hosts anew."""


@lockspace.command(name="reset")
@click.option(
    "--force",
    is_flag=True,
    help="Also without global maintenance, and beside hosts that did not stop cleanly.",
)
@destroys
@config_option
def reset_command(path: Path, force: bool, consent: Consent) -> None:
    """
    Write the leases of all host ids anew, and the engine's with them.

    For leases that are damaged. Global maintenance has to be on, and all agents stopped. With
    --force, hosts that did not give back their ids are watched until they are known to be dead.
    Exit status 2: one of them lives, or a VM runs under the lease; everything stays as it is.
    """
    for line in reset_lockspace(load_config(path), consent, is_forced=force):
        click.echo(line)


def clean_slot(
    config: Config, host_id: int, consent: Consent, *, is_forced: bool, force: str
) -> Optional[str]:
    """
    Empty the slot of a host that has stopped, or, where it is forced, that is dead.

    Return what was done; None: it was only to be said what would be done.

    Args:
        config: of the host on which this is done.
        host_id: whose slot it is.
        consent: whether a person agrees.
        is_forced: the host need not have said that it stopped.
        force: the option that forces it, for messages.

    Raises:
        BrokerError: the broker of this host does not answer.
        StorageError: the slot stays as it is; the message says why.
        NotConfirmedError: nobody has agreed.
    """
    broker = BrokerClient(str(config.broker_socket), TIMEOUT_S)
    what = _lost(config, broker, host_id, is_forced=is_forced, force=force)
    if what is None:
        return f"slot {host_id}: empty already, left alone"
    if not consent.given(slot_deed(config, host_id, what)):
        return None
    # safety: while somebody thought about it, the host may have come back.
    if _lost(config, broker, host_id, is_forced=is_forced, force=force) is None:
        return f"slot {host_id}: empty already, left alone"
    if host_id == config.host.id:
        _empty_own(broker)
    else:
        board = WhiteboardFile(config.storage.whiteboard, config.storage.offset)
        board.write_slot(host_id, bytes(SLOT_BYTES))
    return f"slot {host_id} ({what}): emptied"


def _lost(
    config: Config, broker: BrokerClient, host_id: int, *, is_forced: bool, force: str
) -> Optional[str]:
    """Return whose slot would be emptied; None: it is empty. Raises where it has to stay."""
    found = broker.status()
    record = found["hosts"].get(str(host_id))
    if record is None and found["storage"] == "ok":
        return None
    is_own = host_id == config.host.id
    refusal = _why_own_is_kept(found) if is_own else why_kept(found, host_id)
    if refusal is None and not is_forced and record is not None and not record.get("stopped"):
        refusal = f"host {host_id} has not said that it stopped; if it is gone or dead, add {force}"
    if refusal is not None or record is None:
        msg = f"slot {host_id} stays as it is: {refusal or found['storage']}"
        raise StorageError(msg)
    return str(record.get("hostname") or record["problem"])


def _why_own_is_kept(found: Mapping[str, Any]) -> Optional[str]:
    """Return why this host's own slot is not to be emptied; None: it is."""
    agent, lease = found["agent"], found["lease"]
    runs = agent.get("age_s") is not None and not is_stale(agent) and not is_stopped(found)
    if found["storage"] != "ok":
        return str(found["storage"])
    if runs:
        return "the agent of this host runs, and would write it again: systemctl stop he-fsm-agent"
    if lease is None:
        return "the lease manager of this host does not answer; try again when it does"
    if lease["owner"] == found["host_id"]:
        return "this host owns the engine's lease, so that the VM may run here; end the VM first"
    return None


def _empty_own(broker: BrokerClient) -> None:
    """Write zeros into this host's slot, under its host id, which is given back afterwards."""
    ends = time.monotonic() + _JOINS_WITHIN_S
    while True:
        try:
            broker.join()
        except LockspaceError:
            if time.monotonic() > ends:
                raise
            time.sleep(_LOOK_S)
        else:
            break
    try:
        broker.write_slot(bytes(SLOT_BYTES))
    finally:
        broker.leave()


def reset_lockspace(config: Config, consent: Consent, *, is_forced: bool) -> Iterator[str]:
    """
    Write the leases of all hosts anew, one sentence for each step.

    Raises:
        LockspaceError: they stay as they are; the message says why.
        ConfigError: these leases are another program's.
        NotConfirmedError: nobody has agreed.
    """
    make = lease_kind(config).stored
    if make is None:
        msg = (
            f"leases: {config.leases}: these leases are made by {config.leases} itself, and not"
            " written anew by this command (the lockspace of oVirt's own agents is another one, and"
            " the original command's to write)"
        )
        raise ConfigError(msg)
    policy = config.policy
    rules = Rules(io_timeout_s=policy.io_timeout_s, watchdog_s=policy.watchdog_s)
    leases, patience = make(config), Patience(rules)
    watch_s = watching(leases, _board(config), patience, is_forced=is_forced)
    deed = (
        f"write the leases of all host ids in {leases.place} anew, and the engine's with"
        " them: whoever has one of them loses it"
    )
    first = f"first, hosts that did not give back their ids are watched for {watch_s:.0f} s"
    if consent.given(deed, (first,) if watch_s else ()):
        # The whiteboard is read once more: somebody may have thought about it for long.
        yield from reset(leases, _board(config), patience, is_forced=is_forced)


def _board(config: Config) -> Optional[Whiteboard]:
    """Return what the hosts say of themselves; None: the whiteboard can't be read."""
    try:
        return Whiteboard.parse(
            WhiteboardFile(config.storage.whiteboard, config.storage.offset).read(),
            version=config.parse_version,
            score_max=config.policy.score_max,
        )
    except StorageError:
        return None
