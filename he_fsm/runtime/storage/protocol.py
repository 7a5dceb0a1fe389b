"""
What goes between the storage client and its worker: lines of JSON, each followed by raw bytes.

Nothing here can run code on the other side, as a pickle could, and one can read it with strace.
"""

from __future__ import annotations

import json
from typing import Any, Optional, TypeVar

import attrs
import cattrs

from he_fsm.runtime.leases.sanlock_settings import SanlockSettings
from he_fsm.runtime.ports import LeaseStatus


@attrs.frozen(kw_only=True)
class StorageSettings:
    """
    Where the shared storage is, and as whom this host uses it.

    `whiteboard` is a file or a block device, used from byte `offset` (a multiple of 4096) on.
    `sanlock` says where sanlock's leases are; where it is None, `leases` is the folder of the
    embedded ones, and `name` tells hosts apart that claim one id. Times are in seconds, see
    `Rules`.
    """

    whiteboard: str
    leases: str
    host_id: int
    name: str
    io_timeout_s: float
    watchdog_s: float
    offset: int = 0
    sanlock: Optional[SanlockSettings] = None


@attrs.frozen(kw_only=True)
class Request:
    """
    The line of a request, before `size` raw bytes; its answer has the same `id`.

    `op` is open (with `settings`), read, write_slot (with `slot` and its bytes), write_global
    (with `maintenance`), join, leave or status.
    """

    op: str
    id: int = 0
    size: int = 0
    slot: int = 0
    maintenance: bool = False
    settings: Optional[StorageSettings] = None


@attrs.frozen(kw_only=True)
class Answer:
    """
    The line of an answer, before `size` raw bytes: the slots that were read, or a status as JSON.

    Where something went wrong, `kind` is the error's class, `error` says it, `errno` is its number.
    """

    id: int
    size: int = 0
    kind: Optional[str] = None
    error: str = ""
    errno: Optional[int] = None


_Line = TypeVar("_Line", Request, Answer)

_converter = cattrs.Converter(forbid_extra_keys=True, omit_if_default=True)
_converter.register_unstructure_hook_func(
    lambda kind: getattr(kind, "__origin__", kind) is frozenset, sorted
)


def to_line(line: Request | Answer) -> bytes:
    """Encode a request's or an answer's line."""
    return json.dumps(_converter.unstructure(line)).encode() + b"\n"


def from_line(data: bytes, kind: type[_Line]) -> _Line:
    """Decode a line that the other side wrote."""
    return _converter.structure(json.loads(data), kind)


def status_to_bytes(status: LeaseStatus) -> bytes:
    """Encode what `Leases.status` gives."""
    return json.dumps(_converter.unstructure(status)).encode()


def status_from_bytes(data: bytes) -> LeaseStatus:
    """Decode it."""
    plain: dict[str, Any] = json.loads(data)
    return _converter.structure(plain, LeaseStatus)
