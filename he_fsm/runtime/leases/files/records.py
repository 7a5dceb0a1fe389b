"""
The files of the embedded leases: one for each host id, one for the engine.

Each holds one line of JSON, padded with blanks to 512 bytes and written at once; its key `crc` is
the CRC-32 of the same object without it, as Python's json writes it, in eight hex digits. Locks on
the files (flock) say what is held now; the lines say what the locks can't: since when, and by whom.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Optional, TypeVar

import attrs
import cattrs

from he_fsm.errors import LockspaceError

LINE_BYTES: Final = 512
FILE_MODE: Final = 0o660
FOLDER_MODE: Final = 0o770
ENGINE_FILE: Final = "engine"
# Others test a lock by taking it, shared, for microseconds; an acquire waits that long.
LOCK_WAIT_S: Final = 0.1
_LOCK_POLL_S: Final = 0.002
# A reading during a write may mix two lines, which the checksum shows: about one of a hundred does
# while somebody writes without a pause.
_READINGS_MAX: Final = 20
_HOST_FILE: Final = re.compile(r"host-([1-9][0-9]*)")


def _finite(_: object, attribute: attrs.Attribute[Any], value: Optional[float]) -> None:
    if value is not None and not math.isfinite(value):
        msg = f"{attribute.name} must be a finite number, got {value!r}"
        raise ValueError(msg)


@attrs.frozen(kw_only=True)
class HostLease:
    """
    What a host's file says.

    `renewed_at` is on the machine's monotonic clock. `left`: it gave the id back cleanly.
    """

    name: str
    generation: int
    renewed_at: float = attrs.field(validator=_finite)
    left: bool = False


@attrs.frozen(kw_only=True)
class EngineRecord:
    """
    What the engine's file says: who took the lease last, in which generation of its host id.

    `handed_by` and `handed_until` (monotonic clock): a migration has put the lease down for the
    owner to pick up until then; `handed_by` may take it back.
    """

    owner: int
    generation: int
    handed_by: Optional[int] = None
    handed_until: Optional[float] = attrs.field(default=None, validator=_finite)


Line = TypeVar("Line", HostLease, EngineRecord)

# Types are checked, not converted: a number that arrives as text is damage.
_converter = cattrs.Converter(forbid_extra_keys=True)


def _exactly(kind: type) -> None:
    def structure(value: object, _: object) -> object:
        if type(value) is not kind:
            msg = f"{value!r} is no {kind.__name__}"
            raise ValueError(msg)
        return value

    _converter.register_structure_hook(kind, structure)


for _kind in (str, int, float, bool):
    _exactly(_kind)


def create_lockspace(folder: str | Path) -> None:
    """
    Make the folder of the leases and the engine's lease, free; what is there stays as it is.

    Raises:
        LockspaceError: it can't be made.
    """
    folder = Path(folder)
    try:
        if not folder.is_dir():
            folder.mkdir()
            folder.chmod(FOLDER_MODE)
        os.close(_open_or_make(folder / ENGINE_FILE))
    except OSError as error:
        raise lease_error(folder, error) from error


def host_path(folder: Path, host_id: int) -> Path:
    """Return the path of a host's file."""
    return folder / f"host-{host_id}"


def open_host(folder: Path, host_id: int) -> int:
    """Open a host's file for reading, writing and locking; make it where it is not there yet."""
    path = host_path(folder, host_id)
    try:
        return _open_or_make(path)
    except OSError as error:
        raise lease_error(path, error) from error


def _open_or_make(path: Path) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, FILE_MODE)
    except FileExistsError:
        return os.open(path, flags)
    os.fchmod(descriptor, FILE_MODE)
    return descriptor


def open_engine(folder: Path) -> int:
    """Open the engine's file; it is never made here, so that no second one can come into being."""
    path = folder / ENGINE_FILE
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise lease_error(path, error) from error


def read_line(descriptor: int, kind: type[Line], path: Path) -> Optional[Line]:
    """
    Read the line of an open lease file; None: nothing was ever written.

    Raises:
        LockspaceError: it can't be read, or is no such line.
    """
    try:
        for _ in range(_READINGS_MAX):
            data = os.pread(descriptor, LINE_BYTES, 0)
            plain = _plain(data)
            if plain is not None or not data:
                break
    except OSError as error:
        raise lease_error(path, error) from error
    if not data:
        return None
    try:
        return _converter.structure(plain or {}, kind)
    except (ValueError, cattrs.BaseValidationError) as error:
        msg = (
            f"{path} holds no lease but {data[:20]!r}...: it is damaged; make sure that no engine "
            "runs, then remove it and set the lockspace up again"
        )
        raise LockspaceError(msg) from error


def _plain(data: bytes) -> Optional[dict[str, Any]]:
    """Return the object of a line, without its checksum; None: the line is not whole."""
    try:
        plain = json.loads(data)
        checksum = plain.pop("crc")
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None
    return plain if checksum == _checksum(plain) else None


def _checksum(plain: dict[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(plain).encode()):08x}"


def write_line(descriptor: int, line: HostLease | EngineRecord, path: Path) -> None:
    """
    Write the line of an open lease file, at once.

    Raises:
        LockspaceError: it can't be written.
        ValueError: it is longer than 512 bytes.
    """
    plain = attrs.asdict(line, filter=lambda _, value: value is not None)
    plain["crc"] = _checksum(plain)
    data = json.dumps(plain).encode().ljust(LINE_BYTES - 1) + b"\n"
    if len(data) != LINE_BYTES:
        msg = f"{path}: {line} does not fit {LINE_BYTES} bytes"
        raise ValueError(msg)
    try:
        os.pwrite(descriptor, data, 0)
    except OSError as error:
        raise lease_error(path, error) from error


def read_host(folder: Path, host_id: int) -> Optional[HostLease]:
    """Read a host's file; None: nobody has ever taken this id."""
    path = host_path(folder, host_id)
    with _read_only(path) as descriptor:
        return None if descriptor is None else read_line(descriptor, HostLease, path)


def host_ids(folder: Path) -> tuple[int, ...]:
    """Return the host ids that were ever taken, ascending."""
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError as error:
        raise lease_error(folder, error) from error
    return tuple(sorted(int(found[1]) for name in names if (found := _HOST_FILE.fullmatch(name))))


def host_is_held(folder: Path, host_id: int) -> bool:
    """Whether a process holds this host id now (its renewals may have stopped all the same)."""
    with _read_only(host_path(folder, host_id)) as descriptor:
        return descriptor is not None and is_locked(descriptor)


@contextmanager
def _read_only(path: Path) -> Iterator[Optional[int]]:
    """Open a file that may not be there (None)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise lease_error(path, error) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_locked(descriptor: int) -> bool:
    """Whether another open file holds the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def lock(descriptor: int, wait_s: float = LOCK_WAIT_S) -> bool:
    """Take the lock, within so many seconds; False: another open file holds it."""
    deadline = time.monotonic() + wait_s
    while not _locks(descriptor):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOCK_POLL_S)
    return True


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_same_file(descriptor: int, path: Path) -> bool:
    """Whether the path still leads to the file that is open."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise lease_error(path, error) from error


def lease_error(path: Path, error: OSError) -> LockspaceError:
    """Say what the operating system said."""
    return LockspaceError(f"{path}: {error.strerror or error}", error.errno)
