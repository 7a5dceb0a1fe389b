"""
JSON-RPC 2.0 as vdsm answers it; source: vdsm 4.50.7, yajsonrpc.

An answer goes to the queue that its request named, which is looked up by the request's id in one
table for all clients. What has no such queue is not answered; what has no id is answered, if at
all, to the queue for responses. An array of several requests is carried out, and gets no answer.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from typing import Any, Final, Optional

import attrs

from he_fsm.lab.vdsm.wire.queues import RESPONSES
from he_fsm.runtime.vdsm.interface import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    RECOVERING,
    Json,
    VdsmError,
)

_log = logging.getLogger(__name__)

_VERSION: Final = "2.0"
# vdsm's clock of events begins here, for an old Engine that could read no smaller number.
_TIME_BASE_MS: Final = 2**31 - 1

_IMAGE: Final = ("storagepoolID", "storagedomainID", "imageID", "volumeID")
_VOLUME: Final = ("volumeID", "storagepoolID", "storagedomainID", "imageID")
_VM: Final = ("vmID",)
_DOMAIN: Final = ("storagedomainID",)
_SERVERS: Final = ("storagepoolID", "domainType", "connectionParams")
# The order of a verb's parameters, for those who give them without names; source: vdsm-api.yml.
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "VM.create": ("vmID", "vmParams"),
    "VM.destroy": ("vmID", "gracefulAttempts"),
    "VM.shutdown": ("vmID", "delay", "message", "reboot", "timeout", "force"),
    **dict.fromkeys(("VM.getStats", "VM.cont", "VM.pause", "VM.reset"), _VM),
    **dict.fromkeys(("VM.migrateCancel", "VM.getMigrationStatus"), _VM),
    "VM.migrate": ("vmID", "params"),
    "VM.setTicket": ("vmID", "password", "ttl", "existingConnAction", "params"),
    "VM.updateDevice": ("vmID", "params"),
    "Host.getVMList": ("fullStatus", "vmList", "onlyUUID"),
    "Host.getStorageRepoStats": ("domains",),
    "Host.startMonitoringDomain": ("sdUUID", "hostID"),
    "Host.stopMonitoringDomain": ("sdUUID",),
    "Host.setHaMaintenanceMode": ("mode", "enabled"),
    "Image.prepare": (*_IMAGE, "allowIllegal"),
    "Image.teardown": _IMAGE,
    **dict.fromkeys(("StorageDomain.getInfo", "StorageDomain.getStats"), _DOMAIN),
    "StorageDomain.getImages": _DOMAIN,
    "StorageDomain.getVolumes": ("storagedomainID", "storagepoolID", "imageID"),
    "StoragePool.connectStorageServer": _SERVERS,
    "StoragePool.disconnectStorageServer": _SERVERS,
    "Volume.create": (*_VOLUME, "size", "volFormat", "preallocate", "diskType", "desc"),
    "Volume.getInfo": _VOLUME,
    **dict.fromkeys(("Task.getStatus", "Task.clear"), ("taskID",)),
    "Lease.status": ("lease",),
}

RECOVERS: Final = VdsmError(RECOVERING, "Recovering from crash or Initializing")


@attrs.frozen
class Request:
    """One call; *call_id* None: it has none, which vdsm does not survive."""

    method: str
    params: Mapping[str, Json]
    call_id: Json


@attrs.frozen
class Read:
    """What a message asks for: the requests, and answers to what can't be carried out."""

    requests: tuple[Request, ...]
    refusals: tuple[Mapping[str, Json], ...]


def read(body: bytes) -> Read:
    """Return what a message asks for; nothing that it says is an error of this side."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        text = "Invalid JSON was received by the server."
        return Read((), (answer(None, error=VdsmError(PARSE_ERROR, text)),))
    if said == []:
        return Read((), (_refused("request batch is empty"),))
    requests, refusals = [], []
    for each in said if isinstance(said, list) else [said]:
        if not isinstance(each, dict):
            refusals.append(
                answer(None, error=VdsmError(INTERNAL_ERROR, "Internal JSON-RPC error"))
            )
            continue
        problem = _problem(each)
        if problem:
            refusals.append(_refused(problem))
            continue
        try:
            requests.append(_request(each))
        except VdsmError as error:
            refusals.append(answer(each.get("id"), error=error))
    return Read(tuple(requests), tuple(refusals))


def answer(
    call_id: Json, result: Json = None, error: Optional[VdsmError] = None
) -> dict[str, Json]:
    """Return an answer; a verb without a result has the result true."""
    said = {"jsonrpc": _VERSION, "id": call_id}
    if error is not None:
        return {**said, "error": {"code": error.code, "message": error.text}}
    return {**said, "result": True if result is None else result}


def event(name: str, params: Mapping[str, Json]) -> dict[str, Json]:
    """Return an event, with the time at which it happens."""
    stamped = {**params, "notify_time": event_time_ms()}
    return {"jsonrpc": _VERSION, "method": name, "params": stamped}


def event_time_ms() -> int:
    """Return the time of vdsm's events: good for their order, and for nothing else."""
    return _TIME_BASE_MS + int(time.monotonic() * 1000)


class ReplyTo:
    """Where answers go: one table for all clients, by the requests' ids."""

    def __init__(self) -> None:
        self._queues: dict[str, Optional[str]] = {}

    def note(self, body: bytes, queue: Optional[str]) -> None:
        """Note the queue that a message named for its answers; None: it named none."""
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            return
        for each in said if isinstance(said, list) else [said]:
            if isinstance(each, dict):
                self._queues[_key(each.get("id"))] = queue

    def take(self, call_id: Json) -> Optional[str]:
        """Return the queue for an answer, and forget it; None: there is none."""
        return self._queues.pop(_key(call_id), RESPONSES)


def _key(call_id: Json) -> str:
    """Return what an id, which may be any JSON, is looked up by."""
    return json.dumps(call_id, sort_keys=True)


def _problem(said: Mapping[str, Any]) -> str:
    if said.get("jsonrpc") != _VERSION:
        return "Wrong protocol version"
    if not isinstance(said.get("method"), str):
        return "missing method header in method"
    if not isinstance(said.get("params", []), (list, dict)):
        return "wrong params type"
    return ""


def _refused(problem: str) -> dict[str, Json]:
    return answer(None, error=VdsmError(INVALID_REQUEST, f"Invalid request: {problem!r}"))


def _request(said: Mapping[str, Any]) -> Request:
    method, params = said["method"], said.get("params", {})
    if isinstance(params, list):
        names = _NAMES.get(method, ())
        if len(params) > len(names):
            text = f"Invalid method parameter(s): {method} has {len(names)} by position"
            raise VdsmError(INVALID_PARAMS, text)
        params = dict(zip(names, params))
    return Request(method, params, said.get("id"))
