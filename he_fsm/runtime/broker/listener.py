"""The broker's socket: mode 0660, one broker a socket, and who is at the other end."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import os
import pwd
import socket
import struct
from pathlib import Path
from typing import Optional

import attrs

from he_fsm.errors import HeFsmError
from he_fsm.runtime.service.lock import Claim

_log = logging.getLogger(__name__)
_SOCKET_UMASK = 0o117
# struct ucred: pid, uid, gid (unix(7)).
_CREDENTIALS = struct.Struct("3i")


@attrs.frozen
class Peer:
    """User and group id of the process at the other end, as the kernel knows them."""

    uid: int
    gid: int


@attrs.frozen
class Listener:
    """The bound socket, and the lock that makes it this process's alone."""

    path: Path
    socket: socket.socket
    claim: Claim

    def close(self) -> None:
        """Remove the socket, and let another broker have the place."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.socket.close()
        self.claim.release()


def bind(path: Path, group: Optional[str]) -> Listener:
    """
    Make the socket *path*, with its mode from the start; what a killed broker left is replaced.

    Raises:
        HeFsmError: another broker has it, or it can't be made.
    """
    claim = Claim.take(path.with_suffix(".lock"), "broker")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(_SOCKET_UMASK)
    try:
        # The claim says that nobody listens there.
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        gid = gid_of(group)
        if gid is not None:
            os.chown(path, -1, gid)
        elif group is not None:
            _log.warning("there is no group %s: only root and this user may ask", group)
    except OSError as error:
        listener.close()
        claim.release()
        msg = f"can't listen on {path}: {error.strerror or error}"
        raise HeFsmError(msg) from error
    finally:
        os.umask(before)
    return Listener(path, listener, claim)


def gid_of(group: Optional[str]) -> Optional[int]:
    """Return a group's number; None: there is no such group."""
    if group is None:
        return None
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None


def peer_of(transport: Optional[asyncio.BaseTransport]) -> Peer:
    """
    Say who is at the other end of a connection.

    Raises:
        HeFsmError: nobody any more.
    """
    peer = None if transport is None else transport.get_extra_info("socket")
    if peer is None:
        msg = "the other end has gone"
        raise HeFsmError(msg)
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, gid = _CREDENTIALS.unpack(raw)
    return Peer(uid, gid)


def is_member(peer: Peer, gid: Optional[int]) -> bool:
    """Whether a process is of a group; asks the system's user database, which may take time."""
    if gid is None:
        return False
    if peer.gid == gid:
        return True
    try:
        name = pwd.getpwuid(peer.uid).pw_name
        members = grp.getgrgid(gid).gr_mem
    except KeyError:
        return False
    return name in members
