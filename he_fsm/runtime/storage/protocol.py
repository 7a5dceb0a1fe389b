"""
What goes between the storage client and its worker: lines of JSON, each followed by raw bytes.

Nothing here can run code on the other side, as a pickle could, and one can read it with strace.
"""

from __future__ import annotations

import functools
import json
from typing import Any, Optional, TypeVar

import attrs
import cattrs

from he_fsm.runtime.ports import LeaseStatus
from he_fsm.serialise import teach


@attrs.frozen(kw_only=True)
class StorageSettings:
    """
    Where the shared storage is, and as whom this host uses it.

    `whiteboard` is a file or a block device, used from byte `offset` (a multiple of 4096) on.
    `maker` names the function that makes the leases of these settings (`module:function`), and
    `lease` has the kind's further settings, as text; `leases` is the folder of embedded leases, and
    `name` tells hosts apart that claim one id. `keeps_host_id`: a daemon keeps the host id when the
    worker is replaced. Times are in seconds, see `Rules`.
    """

    whiteboard: str
    leases: str
    host_id: int
    name: str
    io_timeout_s: float
    watchdog_s: float
    offset: int = 0
    maker: str = "he_fsm.runtime.leases.files.renewer:make"
    lease: str = ""
    keeps_host_id: bool = False


@attrs.frozen(kw_only=True)
class Request:
    """
    The line of a request, before `size` raw bytes; its answer has the same `id`.

    `op` is open (with `settings`), read, write_slot (with `slot` and its bytes), write_global and
    mend_global (with `maintenance` and perhaps `until`), end_global (with `until`; this one's and
    the one before's answers say whether it was written), join, leave or status.
    """

    op: str
    id: int = 0
    size: int = 0
    slot: int = 0
    maintenance: bool = False
    until: Optional[int] = None
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
teach(_converter)


def to_line(line: Request | Answer) -> bytes:
    """Encode a request's or an answer's line."""
    return json.dumps(_converter.unstructure(line)).encode() + b"\n"


def from_line(data: bytes, kind: type[_Line]) -> _Line:
    """Decode a line that the other side wrote."""
    return _converter.structure(json.loads(data), kind)


def flag_to_bytes(flag: bool) -> bytes:
    """Encode the answer to a question."""
    return json.dumps(flag).encode()


def flag_from_bytes(data: bytes) -> bool:
    """Decode it."""
    return bool(json.loads(data))


# In quiet times one status follows the other, each like the last.
@functools.lru_cache(maxsize=1)
def status_to_bytes(status: LeaseStatus) -> bytes:
    """Encode what `Leases.status` gives."""
    return json.dumps(_converter.unstructure(status)).encode()


@functools.lru_cache(maxsize=1)
def status_from_bytes(data: bytes) -> LeaseStatus:
    """Decode it."""
    plain: dict[str, Any] = json.loads(data)
    return _converter.structure(plain, LeaseStatus)
