"""A cluster as the broker of this host shows it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Optional

from he_fsm.dashboard.sources.ring import kept_moments
from he_fsm.dashboard.sources.source import Moment
from he_fsm.errors import RefusedRequestError
from he_fsm.policy import Policy
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.config import Config

# How long each answer of the broker may take (seconds).
_ANSWERS_WITHIN_S: Final = 5.0
# A broker that tells no changes is asked so often (seconds).
_ASKED_EVERY_S: Final = 1.0


class BrokerSource:
    """Asks the broker, whoever looks: one look serves all browsers."""

    kind = "broker"

    def __init__(self, socket: Path, config: Optional[Config] = None, title: str = "") -> None:
        """
        Ask nothing yet.

        Args:
            socket: the broker's.
            config: of this host for that cluster; without one, no past and no moves.
            title: for people; empty: the broker's own words.
        """
        self.client = BrokerClient(str(socket), _ANSWERS_WITHIN_S)
        self.config = config
        self.policy: Optional[Policy] = None if config is None else config.policy
        self.title = title or str(socket)
        # The number of the last change that was seen.
        self._seen = 0

    def status(self) -> dict[str, Any]:
        """Ask the broker."""
        return self.client.status()

    def whiteboard(self) -> bytes:
        """Ask the broker for all slots."""
        return self.client.whiteboard()

    def wait(self, limit_s: float) -> None:
        """Wait for the broker's word that something is new."""
        try:
            self._seen = self.client.watch(self._seen, limit_s)
        except RefusedRequestError:
            # A release that tells no changes, or too many wait already.
            time.sleep(min(limit_s, _ASKED_EVERY_S))

    def past(self, since: float) -> Iterator[Moment]:
        """Read what the agent of this host has kept."""
        return iter(()) if self.config is None else kept_moments(self.config, since)
