"""Names of other hosts that do not resolve: logged before a migration needs them."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable
from typing import Final, Optional

from he_fsm.memory import Memory
from he_fsm.runtime.ports import Peer
from he_fsm.runtime.service.log import Repeats

_log = logging.getLogger(__name__)
# How often names are resolved (seconds). The log has a line for a name at most every 15 minutes.
LOOK_S: Final = 60.0


def resolve(name: str) -> None:
    """Resolve a name or an address as a connection does; it may take half a minute; `OSError`."""
    socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)


class PeerNames:
    """
    Resolves the names of the living hosts, and complains of those that do not resolve.

    *name_of* returns the name by which a migration reaches a host; None: it needs none.
    """

    def __init__(
        self,
        name_of: Callable[[int], Optional[str]],
        *,
        resolve: Callable[[str], None] = resolve,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the parts; nothing is asked before `look`."""
        self._name_of = name_of
        self._resolve = resolve
        self._repeats = Repeats(_log, clock=clock)

    def look(self, host_ids: Iterable[int]) -> None:
        """Resolve the name of each of these hosts, one after the other."""
        for host_id in sorted(host_ids):
            name = self._name_of(host_id)
            if name is not None:
                self._look_at(host_id, name)

    def _look_at(self, host_id: int, name: str) -> None:
        try:
            self._resolve(name)
        # UnicodeError: it can't even be asked for, such as a label of more than 63 characters.
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or error
            message = (
                "the name %s does not resolve: %s; the VM can't migrate from here to host %d: mend"
                " DNS or /etc/hosts on this host"
            )
            self._repeats.complain(name, message, name, why, host_id)
        else:
            self._repeats.end(name, "the name %s resolves again", name)


def names_seen(memory: Memory) -> dict[int, str]:
    """Return the names of the hosts whose records this host has read."""
    return {
        host_id: found.record.hostname
        for host_id, found in memory.sightings.items()
        if found.record is not None
    }


def peer_of(memory: Memory, host_id: int) -> Peer:
    """Return how another host is named; this host has read its record."""
    return Peer(host_id, names_seen(memory).get(host_id, ""))
