"""Set up what the hosts share, once: the places of the leases, and the whiteboard."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Optional

from he_fsm.errors import StorageError
from he_fsm.metadata.codec import encode_global
from he_fsm.metadata.layout import HOST_ID_MAX, SLOT_BYTES
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.runtime import registry
from he_fsm.runtime.broker.listener import gid_of
from he_fsm.runtime.config import Config
from he_fsm.runtime.kinds import LeaseKind, Made, Plan
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile, create

# The number of hosts for which oVirt's own agents have room.
HOSTS: Final = 64


def set_up(config: Config, hosts: Optional[int] = None) -> Iterator[str]:
    """
    Make what is missing, one sentence for each part; what is there stays as it is.

    Where root does it, the files are for the group of the daemons; sanlock's leases for sanlock's.

    Args:
        config: of any of the hosts.
        hosts: the host ids 1 to this one get a slot, 1 to 2000; None: `HOSTS` where the
            whiteboard is made, and whatever it has where it is there.

    Raises:
        LockspaceError: the leases can't be made, or others are there.
        StorageError: the whiteboard can't be made, something else is there, or a whiteboard for
            fewer hosts than were asked for.
    """
    gid = gid_for_files(config)
    made: Made = registry.load(registry.LEASES, config.leases).set_up(config)
    if made.is_new:
        give(made.for_group, gid)
    yield f"{made.what}: {_said(is_made=made.is_new)}"
    path, offset = config.storage.whiteboard, config.storage.offset
    wanted = HOSTS if hosts is None else hosts
    if set_up_whiteboard(path, offset, wanted):
        if path.is_file():
            give((path,), gid)
        yield f"whiteboard in {path}: made for host ids 1 to {wanted}"
        return
    if hosts is not None:
        _check_room(path, offset, hosts)
    yield f"whiteboard in {path}: {_said(is_made=False)}"


def plan(config: Config, hosts: Optional[int] = None) -> tuple[Plan, ...]:
    """
    Return what `set_up` would make of each part, and what it would write over; write nothing.

    Raises:
        LockspaceError, StorageError: as `set_up` does, before it writes.
    """
    kind: LeaseKind = registry.load(registry.LEASES, config.leases)
    if kind.plan is None:
        leases = Plan(what=f"leases: {config.leases}, where they are missing", is_new=True)
    else:
        leases = kind.plan(config)
    path, offset = config.storage.whiteboard, config.storage.offset
    if not path.parent.is_dir():
        msg = f"there is no folder {path.parent}: is the storage mounted?"
        raise StorageError(msg)
    is_new = offset == 0 and not path.exists()
    is_new = is_new or not _is_whiteboard(path, WhiteboardFile(path, offset).read())
    if not is_new and hosts is not None:
        _check_room(path, offset, hosts)
    wanted = f" for host ids 1 to {HOSTS if hosts is None else hosts}" if is_new else ""
    return leases, Plan(what=f"whiteboard in {path}{wanted}", is_new=is_new)


def set_up_whiteboard(path: Path, offset: int, hosts: int) -> bool:
    """
    Make a whiteboard in a file or on a block device; False: there is one already.

    Args:
        path: a file, which is made or made longer, or a block device.
        offset: where slot 0 begins, in bytes, a multiple of 4096.
        hosts: the host ids 1 to this one get a slot, 1 to 2000.

    Raises:
        StorageError: it can't be made, or there is something that is no whiteboard.
        ValueError: *offset* or *hosts* can't be.
    """
    if not path.exists() and offset == 0:
        create(path, hosts)
        return True
    if not 1 <= hosts <= HOST_ID_MAX:
        msg = f"hosts must be 1 to {HOST_ID_MAX}, got {hosts}"
        raise ValueError(msg)
    board = WhiteboardFile(path, offset)
    if _is_whiteboard(path, board.read()):
        return False
    _make_room(path, offset + SLOT_BYTES * (hosts + 1))
    board.write_slot(0, encode_global(False))
    return True


def _is_whiteboard(path: Path, data: bytes) -> bool:
    """Whether this is a whiteboard; False: nothing at all. Raises where it is something else."""
    if not data:
        return False
    found = Whiteboard.parse(data)
    if found.records or found.global_block.problem is None:
        return True
    msg = f"{path} holds something that is no whiteboard; nothing was written"
    raise StorageError(msg)


def _check_room(path: Path, offset: int, hosts: int) -> None:
    """Raise an error where a whiteboard that is there has room for fewer hosts."""
    try:
        with path.open("rb") as file:
            room = (file.seek(0, os.SEEK_END) - offset) // SLOT_BYTES - 1
    except OSError as error:
        msg = f"{path} can't be read: {error.strerror}"
        raise StorageError(msg) from error
    room = min(room, HOST_ID_MAX)
    if room >= hosts:
        return
    if path.is_file():
        remedy = f"to make it longer: truncate -s {offset + SLOT_BYTES * (hosts + 1)} {path}"
    else:
        remedy = "it needs a larger device"
    msg = (
        f"whiteboard in {path}: there already, for {room} hosts, not {hosts}; it was left as it"
        f" is; {remedy}"
    )
    raise StorageError(msg)


def _make_room(path: Path, end: int) -> None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            is_long_enough = os.lseek(descriptor, 0, os.SEEK_END) >= end
            if not is_long_enough and path.is_file():
                os.posix_fallocate(descriptor, 0, end)
                is_long_enough = True
        finally:
            os.close(descriptor)
    except OSError as error:
        msg = f"{path} can't be made longer: {error.strerror}"
        raise StorageError(msg) from error
    if not is_long_enough:
        msg = f"{path} has no room for {end} bytes; take fewer hosts, or a larger device"
        raise StorageError(msg)


def gid_for_files(config: Config) -> Optional[int]:
    """Return the group that root's new files on the storage are for; None: this user's own."""
    return gid_of(config.group) if os.geteuid() == 0 else None


def give(paths: tuple[Path, ...], gid: Optional[int]) -> None:
    """Hand what root has made to the daemons' group."""
    if gid is None:
        return
    for path in paths:
        try:
            os.chown(path, -1, gid)
        except OSError as error:
            msg = f"{path} can't be given to the daemons' group: {error.strerror}"
            raise StorageError(msg) from error


def _said(*, is_made: bool) -> str:
    return "made" if is_made else "there already, left alone"
