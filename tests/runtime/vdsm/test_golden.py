"""
The golden trace: what vdsm's own client and vdsm's own server said to each other (vdsm 4.50.7).

It stands for them where their code can't be had. `tests/runtime/vdsm/original_trace.py` wrote it.
"""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from he_fsm.lab.vdsm.server import VdsmServer
from he_fsm.runtime.vdsm.client import OwnClient
from he_fsm.runtime.vdsm.connection import Address
from he_fsm.runtime.vdsm.frames import Frame
from he_fsm.runtime.vdsm.interface import VdsmError
from he_fsm.runtime.vdsm.rpc import Answer, Event
from he_fsm.runtime.vdsm.session import Session, Times
from he_fsm.testing.waiting import until
from tests.runtime.vdsm.scene import VM_ID, VM_STATUS, Heard, Verbs
from tests.runtime.vdsm.trace import Streams, frames_of, recorded, told

GOLDEN = Path(__file__).parents[2] / "golden" / "vdsm-wire.json"
SAID = {"text": "ü:\\\n", "list": [1, None, True]}
EVENT = {VM_ID: {"status": "Up"}}


def golden() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(GOLDEN.read_text("utf-8"))
    return found


def verbs() -> Verbs:
    made = Verbs()

    def missing(_: object) -> None:
        raise VdsmError(1, f"Virtual machine does not exist: {{'vmId': '{VM_ID}'}}")

    made.verbs["VM.getStats"] = missing
    return made


def ids() -> dict[str, str]:
    """Return the names of ids; the VM's is the same in every run."""
    return {VM_ID: VM_ID}


def as_file(streams: Streams) -> dict[str, Any]:
    names = ids()
    client = told(frames_of(bytes(streams.client)), names)
    return {"client": client, "server": told(frames_of(bytes(streams.server)), names)}


def played(lines: list[dict[str, Any]]) -> list[Frame]:
    return [
        Frame(
            line["command"],
            dict(line["headers"]),
            b"" if line["body"] is None else json.dumps(line["body"]).encode(),
        )
        for line in lines
    ]


def test_the_own_client_understands_what_the_original_server_says() -> None:
    session = Session(Times(), with_events=True)
    said = [each for frame in played(golden()["server"]) for each in session.take(frame, 0.0)]
    results = [each for each in said if isinstance(each, Answer)]
    assert [each.result for each in results] == [True, SAID, None, None]
    assert [each.error and each.error.code for each in results] == [None, None, 1, 99]
    assert len({each.call_id for each in results}) == 4
    assert [each for each in said if isinstance(each, Event)] == [
        Event(VM_STATUS, {**EVENT, "notify_time": 0})
    ]


def test_the_own_client_and_the_lab_say_what_the_originals_say() -> None:
    """The same frames with the same headers, but for when each side subscribes and for times."""
    streams, heard = Streams(), Heard()
    with closing(VdsmServer(verbs())) as server:
        server.start()
        with recorded(server.port, streams) as port:
            place = Address("127.0.0.1", port, None)
            with closing(OwnClient(place, heard)) as client:
                client.call("Host.ping2")
                client.call("Host.echo", SAID)
                with pytest.raises(VdsmError):
                    client.call("VM.getStats", {"vmID": VM_ID})
                server.faults.is_recovering = True
                with pytest.raises(VdsmError):
                    client.call("Host.ping2", timeout_s=0.3)
                server.emit(VM_STATUS, EVENT)
                until(lambda: heard.events)
    ours, theirs = as_file(streams), golden()
    for side in ("client", "server"):
        assert forms(ours[side]) == forms(theirs[side])


def forms(lines: list[dict[str, Any]]) -> list[Any]:
    """Return what has to be alike: each frame's command, header names and body, without ids."""
    found = []
    for line in lines:
        headers = dict(line["headers"])
        queues = {"destination", "content-type", "ack", "version", "accept-version"}
        known = {key: value for key, value in headers.items() if key in queues}
        if known.get("destination", "").startswith("id-"):
            known["destination"] = "its own queue"
        body = line["body"]
        call = body[0] if isinstance(body, list) else body
        told_body = {**call, "id": "id"} if call and "id" in call else call
        found.append((line["command"], sorted(headers), known, isinstance(body, list), told_body))
    # The original client subscribes to events later, and its last frames end its subscriptions.
    rest = [each for each in found if each[0] not in ("SUBSCRIBE", "UNSUBSCRIBE")]
    return sorted((each for each in found if each[0] == "SUBSCRIBE"), key=str) + rest
