"""What stands behind the wire: the verbs of a vdsm, which know nothing of frames and sockets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, Protocol

from he_fsm.runtime.vdsm.interface import Json

# Sends an event to all who subscribed, from any thread, and returns at once: its name, such as
# `|virt|VM_status|<VM's id>`, and its parameters. The server adds `notify_time`.
Emit = Callable[[str, Mapping[str, Json]], None]


class Verbs(Protocol):
    """
    The verbs; several threads call it at once.

    A call may take as long as the real verb does: other calls go on meanwhile.
    """

    def call(self, method: str, params: Mapping[str, Json]) -> Json:
        """
        Return the result of a verb, such as `VM.getStats`; True where it has none.

        Parameters by name; a verb's own checks apply.

        Raises:
            VdsmError: with vdsm's own code and text. Any other exception is answered with
                code -32603, as vdsm does, and logged.
        """
