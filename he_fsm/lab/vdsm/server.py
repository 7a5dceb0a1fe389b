"""The server: STOMP frames and JSON-RPC on a port, the verbs behind it."""

from __future__ import annotations

from collections.abc import Mapping

from he_fsm.lab.vdsm.verbs import Verbs
from he_fsm.runtime.vdsm.interface import Json


class VdsmServer:
    """A vdsm on loopback, from `start` to `close`."""

    def __init__(self, verbs: Verbs, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Take the parts; port 0: any that is free."""
        raise NotImplementedError

    @property
    def port(self) -> int:
        """The port that it listens on."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin to listen."""
        raise NotImplementedError

    def emit(self, event: str, params: Mapping[str, Json]) -> None:
        """Send an event to all who subscribed; from any thread."""
        raise NotImplementedError

    def close(self) -> None:
        """End the connections, the threads and the port."""
        raise NotImplementedError
