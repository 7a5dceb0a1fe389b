"""
What a client of vdsm offers, whichever of the two it is, and what can go wrong.

A call returns the verb's result, or raises one of three errors, at its deadline at the latest:

- `VdsmError`: vdsm answered with an error. The verb has ended.
- `VdsmSilentError`: the call was sent, and no answer came. The verb may have taken effect, may
  still be running, or may never run: observe again, never assume.
- `VdsmUnreachableError` that is no `VdsmSilentError`: the call was not sent. Nothing happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Optional, Protocol

from he_fsm.errors import HypervisorError

# Any value that JSON has: vdsm's fields come and go with its versions, so callers check what they
# read.
Json = Any

# How long a call may take where its caller says nothing (seconds).
ANSWER_S: Final = 5.0
# The port of vdsm; source: vdsm 4.50.7, `addresses/management_port`.
PORT: Final = 54321

# Codes of vdsm's errors; source: vdsm 4.50.7, vdsm.common.exception and yajsonrpc.exception.
NO_SUCH_VM: Final = 1
VM_EXISTS: Final = 4
MIGRATION_NOT_IN_PROGRESS: Final = (47, 81)
RECOVERING: Final = 99
GENERAL_ERROR: Final = 100
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
NO_SUCH_METHOD: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603


class VdsmError(HypervisorError):
    """
    Vdsm answered with an error.

    *code* is vdsm's number (docs: `interface.py` names those that matter here), *text* its words,
    which differ between versions: go by the code.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"vdsm: {text} (code {code})")
        self.code = code
        self.text = text


class VdsmUnreachableError(HypervisorError):
    """There is no connection to vdsm, so the call was not sent."""


class VdsmSilentError(VdsmUnreachableError):
    """The call was sent, and no answer came: it is unknown whether the verb takes effect."""


class Listener(Protocol):
    """
    Is called with vdsm's events, by the client's own thread.

    Both methods return at once, and make no call of the client: they note what happened for
    another thread. What they raise is logged with its trace, and costs the connection.
    """

    def event(self, name: str, params: Mapping[str, Json]) -> None:
        """Take an event, such as `|virt|VM_status|<VM's id>`; *params* as vdsm sent them."""

    def events_lost(self, why: str) -> None:
        """
        Note that events may have been missed: look at every VM again.

        Called when the connection ends, and once more when events come again (also the first
        time). A call that is made after the latter sees all that happened before it.
        """


class VdsmClient(Protocol):
    """A client of one vdsm, for any number of threads."""

    def call(
        self,
        method: str,
        params: Optional[Mapping[str, Json]] = None,
        timeout_s: Optional[float] = None,
    ) -> Json:
        """
        Return the result of a verb, such as `Host.getStats`; a verb without one returns True.

        While vdsm recovers (code 99) the call is repeated until its deadline.

        Args:
            method: class and verb, with a dot between.
            params: parameters by name; None: none.
            timeout_s: how long the call may take in all; None: the client's own (`ANSWER_S`).

        Raises:
            VdsmError: vdsm answered with an error.
            VdsmUnreachableError: there is no connection; nothing happened.
            VdsmSilentError: it was sent, and no answer came in time.
        """

    def close(self) -> None:
        """End the connection and the client's thread; calls under way fail, by their deadlines."""
