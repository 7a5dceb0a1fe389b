"""
JSON-RPC 2.0 as vdsm has it: the body of one message to what it says, and back.

A call goes out as an array of one request with an id that nobody used before: vdsm finds the queue
of an answer by its id, in one table for all clients, and answers an array of several requests not
at all (vdsm 4.50.7). It answers with an object; an array is understood, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Optional, Union

import attrs

from he_fsm.errors import HeFsmError
from he_fsm.runtime.vdsm.interface import INTERNAL_ERROR, Json, VdsmError

_VERSION: Final = "2.0"


class MessageError(HeFsmError):
    """A message is no JSON, or nothing that JSON-RPC has."""


@attrs.frozen
class Answer:
    """The answer to one call; *call_id* None: vdsm could not read which one it was."""

    call_id: Optional[str]
    result: Json = None
    error: Optional[VdsmError] = None


@attrs.frozen
class Event:
    """A message that answers nothing: something happened."""

    name: str
    params: Mapping[str, Json]


def request(call_id: str, method: str, params: Mapping[str, Json]) -> bytes:
    """
    Return the body of a call.

    Raises:
        TypeError, ValueError: *params* have what JSON does not; a bug of the caller.
    """
    call = {"jsonrpc": _VERSION, "method": method, "params": dict(params), "id": call_id}
    return json.dumps([call]).encode()


def read(body: bytes) -> list[Union[Answer, Event]]:
    """
    Return what a message says, in its order; fields that nobody knows are passed over.

    Raises:
        MessageError: it is no JSON, or says nothing that JSON-RPC has.
    """
    try:
        # Text that is not UTF-8 raises a `ValueError`, too.
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        msg = f"vdsm sent what is no JSON ({len(body)} bytes)"
        raise MessageError(msg) from error
    found = [_read_one(each) for each in (said if isinstance(said, list) else [said])]
    understood = [each for each in found if each is not None]
    if not understood:
        msg = "vdsm sent what is neither an answer nor an event"
        raise MessageError(msg)
    return understood


def _read_one(said: Any) -> Union[Answer, Event, None]:
    if isinstance(said, dict):
        call_id = said.get("id")
        name = said.get("method")
        if "error" in said or "result" in said:
            known = call_id if isinstance(call_id, str) else None
            if said.get("error") is None:
                return Answer(known, said.get("result"))
            return Answer(known, error=_error(said["error"]))
        if isinstance(name, str):
            params = said.get("params")
            return Event(name, params if isinstance(params, dict) else {})
    return None


def _error(said: Any) -> VdsmError:
    if not isinstance(said, dict):
        return VdsmError(INTERNAL_ERROR, str(said))
    code = said.get("code")
    if not isinstance(code, int) or isinstance(code, bool):
        code = INTERNAL_ERROR
    return VdsmError(code, str(said.get("message", "no message")))
