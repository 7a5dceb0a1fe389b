"""Which client of vdsm there is on this host."""

from __future__ import annotations

import importlib
import logging
from typing import Any, Optional

from he_fsm.runtime.vdsm.client import OwnClient
from he_fsm.runtime.vdsm.connection import Address
from he_fsm.runtime.vdsm.interface import ANSWER_S, Listener, VdsmClient
from he_fsm.runtime.vdsm.packaged import PackagedClient
from he_fsm.runtime.vdsm.tls import Certificates

_log = logging.getLogger(__name__)


def open_client(
    address: Optional[Address] = None,
    listener: Optional[Listener] = None,
    *,
    answer_s: float = ANSWER_S,
) -> VdsmClient:
    """
    Return a client that connects, and connects again, until it is closed.

    It is the one of the package vdsm-client where that is installed, and works on this Python;
    else he_fsm's own. One line of the log says which. Both behave alike.

    Args:
        address: where vdsm is; None: this host's, with vdsm's certificates.
        listener: has the events; None: nobody wants them.
        answer_s: how long a call may take where its caller says nothing.
    """
    place = address or Address()
    library, why_not = _library(place)
    if library is None:
        _log.info("vdsm at %s: he_fsm's own client is used (%s)", place, why_not)
        return OwnClient(place, listener, answer_s=answer_s)
    _log.info("vdsm at %s: the client of the package vdsm-client is used", place)
    return PackagedClient(library, place, listener, answer_s=answer_s)


def _library(address: Address) -> tuple[Any, str]:
    """Return the module `vdsm.client`, or why it can't be used."""
    if address.certificates not in (None, Certificates()):
        return None, "vdsm-client knows no certificates but vdsm's own"
    try:
        return importlib.import_module("vdsm.client"), ""
    except ImportError as error:
        # Not installed, or it needs asyncore, which Python has no more from 3.12 on.
        return None, f"vdsm-client: {error}"
