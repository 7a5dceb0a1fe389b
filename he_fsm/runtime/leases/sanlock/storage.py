"""Set up the places of sanlock's leases: the host ids', and the engine's."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

from he_fsm.errors import LeaseMissingError, LockspaceError, OldVmError
from he_fsm.runtime.leases.files.records import FILE_MODE, lease_error
from he_fsm.runtime.leases.sanlock.daemon import errors as sanlock_errors
from he_fsm.runtime.leases.sanlock.daemon.command import SOCKET, SanlockDaemon
from he_fsm.runtime.leases.sanlock.daemon.module import call
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
from he_fsm.runtime.leases.vm_lock import VmLock
from he_fsm.runtime.ports import IdMark


def initialise(settings: SanlockSettings, io_timeout_s: float) -> bool:
    """
    Write the lockspace and the engine's lease where there are none; what is there stays as it is.

    False is given where both are there. The daemon of `settings` writes them. A file is made, or
    made longer, as needed; a block device must be there and be large enough. With new host ids the
    lease is written anew, too.

    Raises:
        LeaseForeignError: other leases are there; they may be somebody's.
        OldVmError: an engine VM runs here, whose lease would be written anew.
        LockspaceError: they can't be read or written, or sanlock does not run.
    """
    _check_areas(settings)
    daemon = SanlockDaemon(settings)
    daemon.check_running()
    _make_room(Path(settings.path), settings.offset + settings.align_bytes, settings)
    end = settings.resource_offset + settings.align_bytes
    _make_room(Path(settings.resource_path), end, settings)
    has_no_ids = _is_missing(lambda: daemon.host_id_lease(1))
    has_no_lease = _is_missing(daemon.engine_lease)
    if has_no_ids or has_no_lease:
        _check_no_vm(settings, "host ids" if has_no_ids else "engine's lease")
        _write_engine(settings)
    if has_no_ids:
        _write_ids(settings, io_timeout_s)
    return has_no_ids or has_no_lease


def plan(settings: SanlockSettings) -> tuple[bool, tuple[str, ...]]:
    """
    Return whether `initialise` would write, and what it would write over, in words.

    Raises:
        LockspaceError: as `initialise` does, before it writes.
    """
    _check_areas(settings)
    daemon = SanlockDaemon(settings)
    daemon.check_running()
    has_no_ids = _is_missing(lambda: daemon.host_id_lease(1))
    has_no_lease = _is_missing(daemon.engine_lease)
    lost = []
    if has_no_ids and _has_content(Path(settings.path), settings.offset, settings):
        lost.append(_place("", settings.path, settings.offset, settings))
    resource = Path(settings.resource_path)
    if has_no_lease and _has_content(resource, settings.resource_offset, settings):
        lost.append(_place("", settings.resource_path, settings.resource_offset, settings))
    elif has_no_ids and not has_no_lease:
        what = "the engine's lease, "
        lost.append(_place(what, settings.resource_path, settings.resource_offset, settings))
    return has_no_ids or has_no_lease, tuple(lost)


def _place(what: str, path: str, offset: int, settings: SanlockSettings) -> str:
    return f"{what}{settings.align_bytes} bytes of {path} from byte {offset} on"


def _has_content(path: Path, offset: int, settings: SanlockSettings) -> bool:
    """Whether anything but zeros stands in an area."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return any(file.read(settings.align_bytes))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise lease_error(path, error) from error


class SanlockStored:
    """The leases of sanlock as they stand on the storage; implements `StoredLeases`."""

    def __init__(self, settings: SanlockSettings, io_timeout_s: float) -> None:
        """Look by the daemon of *settings*; new leases are for this I/O timeout (seconds)."""
        self._settings = settings
        self._io_timeout_s = io_timeout_s
        self._daemon = SanlockDaemon(settings)

    @property
    def place(self) -> str:
        """Where they are: the host ids' file or device, and the engine's if it is another one."""
        paths = dict.fromkeys((self._settings.path, self._settings.resource_path))
        return " and ".join(paths)

    def host_id(self, host_id: int) -> Optional[IdMark]:
        """Return what the lease of a host id says; None: nobody has it."""
        ids_max = self._settings.host_id_max
        if ids_max is None or host_id > ids_max:
            return None
        found = self._daemon.host_id_lease(host_id)
        return IdMark(found.generation, found.timestamp) if found.timestamp else None

    def engine(self) -> Optional[tuple[int, int]]:
        """Return who took the engine's lease last; None: it is free."""
        found = self._daemon.engine_lease()
        return (found.owner, found.generation) if found.timestamp else None

    def rewrite(self) -> None:
        """Write all leases anew; raises `OldVmError` beside a VM of this host."""
        _check_areas(self._settings)
        self._daemon.check_running()
        # safety: the lease of a VM that runs here is in nobody's way any more if it is written.
        _check_no_vm(self._settings, "leases")
        _write_engine(self._settings)
        _write_ids(self._settings, self._io_timeout_s)


def _write_engine(settings: SanlockSettings) -> None:
    """
    Write the engine's lease anew, before the host ids are.

    The generations of new host ids begin at 1 again. In a lease of before, an owner with a higher
    one would count as living for as long as somebody has its id. If this ends between the two, the
    next call writes both.
    """
    resource, lockspace = settings.resource.encode(), settings.lockspace.encode()
    _write(settings, "write_resource", lockspace, resource, settings.disks, **_area(settings))


def _write_ids(settings: SanlockSettings, io_timeout_s: float) -> None:
    _write(
        settings,
        "write_lockspace",
        *(settings.lockspace.encode(), settings.path, settings.offset),
        iotimeout=settings.daemon_io_timeout(io_timeout_s),
        **_area(settings),
    )


def _area(settings: SanlockSettings) -> dict[str, int]:
    return {"align": settings.align_bytes, "sector": settings.sector_bytes}


def _check_no_vm(settings: SanlockSettings, what: str) -> None:
    """Raise `OldVmError` if an engine VM runs on this host; of others nothing is known here."""
    # safety: another host could start the VM at once.
    if not VmLock.named(settings.vm_lock, settings.vm_pid_file).is_free():
        if what == "leases":
            msg = "the leases stay as they are: an engine VM runs here; end it first"
            raise OldVmError(msg)
        path = settings.path if what == "host ids" else settings.resource_path
        msg = (
            f"the {what} in {path} can't be found, and an engine VM runs here: end it before the"
            " leases are created again"
        )
        raise OldVmError(msg)


def _check_areas(settings: SanlockSettings) -> None:
    if settings.host_id_max is None:
        msg = (
            f"sanlock has no areas of {settings.align_bytes} bytes with sectors of"
            f" {settings.sector_bytes}"
        )
        raise LockspaceError(msg, errno.EINVAL)
    for offset in (settings.offset, settings.resource_offset):
        if offset < 0 or offset % settings.align_bytes:
            msg = f"leases begin at a multiple of {settings.align_bytes} bytes, not at {offset}"
            raise LockspaceError(msg, errno.EINVAL)


def _make_room(path: Path, end: int, settings: SanlockSettings) -> None:
    """Make a file long enough; the daemon has a user of its own, and gets in by its group."""
    try:
        if path.is_block_device():
            return
        if not path.exists():
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            os.fchmod(descriptor, FILE_MODE)
            if os.geteuid() == 0:
                os.fchown(descriptor, -1, (Path(settings.run_dir) / SOCKET).stat().st_gid)
            os.close(descriptor)
        if path.stat().st_size < end:
            os.truncate(path, end)
    except OSError as error:
        raise lease_error(path, error) from error


def _is_missing(read: Callable[[], object]) -> bool:
    try:
        read()
    except LeaseMissingError:
        return True
    return False


def _write(settings: SanlockSettings, verb: str, *words: object, **options: Any) -> None:
    call(
        settings.run_dir,
        verb,
        *words,
        what=f"set up the leases in {settings.path}",
        meanings=sanlock_errors.READING,
        **options,
    )
