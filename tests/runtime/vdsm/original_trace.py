"""
The golden trace is what vdsm's own client and server say: `make interop VDSM=DIR` runs this.

HE_FSM_REWRITE=1 writes the trace anew.
"""

from __future__ import annotations

import json
import os
import queue
from contextlib import closing
from typing import Any

import pytest

from tests.runtime.vdsm.original import OriginalServer, library
from tests.runtime.vdsm.scene import VM_ID, VM_STATUS
from tests.runtime.vdsm.test_golden import EVENT, GOLDEN, SAID, as_file, golden, verbs
from tests.runtime.vdsm.trace import Streams, recorded


def originals() -> dict[str, Any]:
    """Have the originals talk, and return what they said."""
    streams, lib = Streams(), library()
    with closing(OriginalServer(verbs())) as server:
        server.start()
        with recorded(server.port, streams) as port:
            client = lib.connect("127.0.0.1", port, use_tls=False, timeout=5)
            events: queue.Queue[Any] = queue.Queue()
            client.Host.ping2()
            client.subscribe("jms.queue.events", events)
            client.Host.echo(**SAID)
            with pytest.raises(lib.ServerError):
                client.VM.getStats(vmID=VM_ID)
            server.faults.is_recovering = True
            with pytest.raises(lib.ServerError):
                client.Host.ping2()
            server.emit(VM_STATUS, EVENT)
            events.get(timeout=5)
            client.close()
    return as_file(streams)


def test_the_originals_still_say_so() -> None:
    said = originals()
    if os.environ.get("HE_FSM_REWRITE"):
        GOLDEN.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", "utf-8")
    assert said == golden()
