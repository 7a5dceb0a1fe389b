"""
Has vdsm join and leave the lockspace of a storage domain: by its monitor of the domain.

vdsm has the domain in its own use too, and keeps the lockspace joined for that. Nothing here talks
to sanlock but to see who has what.
"""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from he_fsm.errors import EngineHereError, HypervisorError, LockspaceError
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
from he_fsm.runtime.leases.sanlock.sight import SanlockSight
from he_fsm.runtime.vdsm.choose import open_client
from he_fsm.runtime.vdsm.connection import Address
from he_fsm.runtime.vdsm.interface import VdsmClient, VdsmError
from he_fsm.runtime.vdsm.tls import Certificates

# How often it is asked whether vdsm has joined (seconds).
_ASK_S: Final = 0.25
# Beyond what an id takes that another host had, and did not give back (seconds).
_SLACK_S: Final = 60.0
# vdsm's codes; source: vdsm 4.50.7, `storage/exception.py`.
_IN_POOL: Final = 900


@attrs.frozen(kw_only=True)
class VdsmPlace:
    """A vdsm, as text for the process that serves the storage; `key` empty: no TLS."""

    host: str
    port: int
    deadline_s: float
    key: str = ""
    cert: str = ""
    ca: str = ""

    @contextmanager
    def client(self) -> Iterator[VdsmClient]:
        """Return a client for a while."""
        certificates = Certificates(Path(self.key), Path(self.cert), Path(self.ca))
        address = Address(self.host, self.port, certificates if self.key else None)
        client = open_client(address, answer_s=self.deadline_s)
        try:
            yield client
        finally:
            client.close()


@attrs.frozen(kw_only=True)
class VdsmJoins:
    """Orders it of vdsm; implements `leases.sanlock.daemon.joins.Joins`."""

    settings: SanlockSettings
    host_id: int
    rules: Rules
    vdsm: VdsmPlace

    def join(self) -> None:
        """Have vdsm monitor the domain, and wait until it has its host id there."""
        domain = self.settings.lockspace
        ends_at = time.monotonic() + self.rules.expiry_s + _SLACK_S
        wanted = {"sdUUID": domain, "hostID": self.host_id}
        try:
            with self.vdsm.client() as client:
                client.call("Host.startMonitoringDomain", wanted)
                while not _is_acquired(client, domain):
                    if time.monotonic() > ends_at:
                        msg = f"vdsm does not get the host id {self.host_id} of the domain {domain}"
                        raise LockspaceError(msg)
                    time.sleep(_ASK_S)
        except HypervisorError as error:
            msg = f"vdsm does not join {domain} as host {self.host_id}: {error}"
            raise LockspaceError(msg) from error

    def leave(self) -> None:
        """Have vdsm monitor the domain no more, unless the engine's lease is held here."""
        domain = self.settings.lockspace
        # safety: with the lockspace go the VMs that have a lease in it.
        sight = SanlockSight(self.settings, self.host_id, self.rules)
        if sight.seen().holders:
            msg = f"the engine runs here: vdsm keeps the host id {self.host_id} of {domain}"
            raise EngineHereError(msg, errno.EBUSY)
        try:
            with self.vdsm.client() as client:
                client.call("Host.stopMonitoringDomain", {"sdUUID": domain})
        except VdsmError as error:
            why = "it is in use for a data center" if error.code == _IN_POOL else str(error)
            msg = f"vdsm keeps the host id {self.host_id} of the domain {domain}: {why}"
            raise LockspaceError(msg) from error
        except HypervisorError as error:
            msg = f"vdsm does not leave {domain}: {error}"
            raise LockspaceError(msg) from error


def _is_acquired(client: VdsmClient, domain: str) -> bool:
    stats = client.call("Host.getStorageRepoStats", {"domains": [domain]})
    found = stats.get(domain) if isinstance(stats, dict) else None
    return isinstance(found, dict) and found.get("acquired") is True


@attrs.frozen(kw_only=True)
class ServeSettings:
    """What the process that serves the storage is told, as text."""

    sanlock: SanlockSettings
    vdsm: VdsmPlace

    def to_text(self) -> str:
        """Return them as one word of a command line."""
        return json.dumps({"sanlock": self.sanlock.to_text(), "vdsm": attrs.asdict(self.vdsm)})

    @classmethod
    def from_text(cls, text: str) -> ServeSettings:
        """Read what `to_text` gave."""
        found = json.loads(text)
        return cls(
            sanlock=SanlockSettings.from_text(found["sanlock"]), vdsm=VdsmPlace(**found["vdsm"])
        )
