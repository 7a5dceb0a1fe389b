"""The live cluster as a command reads it."""

from __future__ import annotations

from typing import Optional

import click

from he_fsm.cli.broker import config_path
from he_fsm.policy import Policy
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.config import load_config
from he_fsm.scenario.beginning.live import LiveCluster, live_cluster
from he_fsm.words import printable


def read(broker: BrokerClient) -> LiveCluster:
    """
    Read whiteboard, leases and policy.

    Raises:
        HeFsmError: something can't be read, or no host can be believed.
    """
    path = config_path()
    return read_with(broker, None if path is None else load_config(path).policy)


def read_with(broker: BrokerClient, policy: Optional[Policy]) -> LiveCluster:
    """
    Read whiteboard and leases; *policy*: None is the one that the scores look like.

    Raises:
        HeFsmError: something can't be read, or no host can be believed.
    """
    return live_cluster(broker.whiteboard(), broker.status(), policy)


def say_what_is_assumed(cluster: LiveCluster) -> None:
    """Report what was assumed of the cluster, on standard error."""
    for note in cluster.captured.notes:
        click.echo(f"note: {printable(note)}", err=True)
