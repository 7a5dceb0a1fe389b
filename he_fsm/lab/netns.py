"""Linux network namespaces: iproute2's command, and threads that work inside one for a while."""

from __future__ import annotations

import ctypes
import functools
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Optional

from he_fsm.errors import HeFsmError

# Where iproute2 keeps the names.
_FOLDER: Final = Path("/run/netns")
_OWN: Final = Path("/proc/thread-self/ns/net")
# Source: linux/sched.h.
_CLONE_NEWNET: Final = 0x40000000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_ENDS_WITHIN_S: Final = 10.0
# What a host's network is made of; a kernel may lack any of it.
_TRIAL: Final = (
    "link add name bridge0 type bridge forward_delay 0",
    "link add name one type veth peer name other",
    "tuntap add tap0 mode tap",
    "link set tap0 master bridge0 up",
)


def program() -> Optional[str]:
    """Return the path of iproute2's `ip`; None: it is missing."""
    return shutil.which("ip") or shutil.which("ip", path="/usr/sbin:/sbin")


def ip(*words: str) -> None:
    """Run `ip` with these words; raises `HeFsmError` with what it said where it fails."""
    _run(words, "")


def ip_batch(namespace: str, lines: tuple[str, ...]) -> None:
    """Run many of `ip`'s commands inside a namespace, up to the first that fails: `HeFsmError`."""
    _run(("-n", namespace, "-batch", "-"), "\n".join(lines) + "\n")


def _run(words: tuple[str, ...], lines: str) -> None:
    done = subprocess.run(  # noqa: S603 - a list of words, and no shell
        [str(program()), *words],
        input=lines,
        capture_output=True,
        check=False,
        text=True,
        timeout=_ENDS_WITHIN_S,
    )
    if done.returncode:
        msg = f"ip {' '.join(words)}: {' '.join(done.stderr.split())}"
        raise HeFsmError(msg)


def exists(namespace: str) -> bool:
    """Whether there is a namespace of this name."""
    return (_FOLDER / namespace).exists()


def beginning_with(prefix: str) -> list[str]:
    """Return the namespaces whose names begin so."""
    return sorted(path.name for path in _FOLDER.glob(f"{prefix}-*"))


def new_prefix() -> str:
    """Return the beginning of names that nobody else's namespaces have."""
    return f"he-fsm-{os.getpid()}-{secrets.token_hex(3)}"


@contextmanager
def inside(namespace: Optional[str]) -> Iterator[None]:
    """
    Move this thread into a namespace, and no other thread; None: the thread stays where it is.

    Sockets, processes and threads that it makes meanwhile belong there for good.

    Raises:
        OSError: there is no such namespace, or no right to enter it.
    """
    if namespace is None:
        yield
        return
    with _OWN.open("rb") as home, (_FOLDER / namespace).open("rb") as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@functools.cache
def why_not() -> str:
    """Say why this machine can't have namespaces with a bridge and a tap; empty: it can. Tried."""
    if program() is None:
        return "the command ip is missing: install the package iproute2"
    name = f"{new_prefix()}-trial"
    with ExitStack() as ends:
        try:
            ip("netns", "add", name)
            ends.callback(ip, "netns", "del", name)
            ip_batch(name, _TRIAL)
            with inside(name):
                pass
        except (HeFsmError, OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    return ""
