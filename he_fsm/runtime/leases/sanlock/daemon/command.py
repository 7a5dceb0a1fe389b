"""
What a sanlock daemon and its storage say, by sanlock's own command.

The Python module does not tell when the daemon last saw another host renew, nor the time on the
daemon's clock; both are needed to know when a dead host's lease can be taken, and `sanlock client`
prints both. Seeing the renewals ourselves would be later by up to a whole loop, and would begin
anew with each restart. A command can also be given up when the daemon is stopped.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.errors import LockspaceError, SanlockMissingError
from he_fsm.runtime.leases.sanlock.daemon import errors as sanlock_errors
from he_fsm.runtime.leases.sanlock.daemon.errors import (
    CONNECTING,
    PICKING_UP,
    READING,
    Meaning,
    refusal,
    silence,
)
from he_fsm.runtime.leases.sanlock.settings import RUN_DIR_VARIABLE, SanlockSettings

SOCKET: Final = "sanlock.sock"
# Not on everybody's PATH.
_FOLDERS: Final = "/usr/sbin:/usr/bin:/sbin"
# How much of an answer that is not understood is shown (characters).
_SHOWN: Final = 200
# A process; the daemon's own threads and whoever asks have the number -1.
_CLIENT: Final = re.compile(r"p \d+\b")
_ACQUIRE_RESULT: Final = re.compile(r"^acquire done (-?\d+)", re.MULTILINE)
_READ_RESULT: Final = re.compile(r"read_leader done (-?\d+)")

# The time of the watchdog, as a constant, before sanlock 3.9 (seconds). Source: its timeouts.h.
WATCHDOG: Final = 60

Fields = dict[str, str]


@attrs.frozen(kw_only=True)
class Space:
    """
    A lockspace as the daemon has it; times in whole seconds on the daemon's clock.

    `is_lost`: its renewals failed for too long, or its lease was written over; whoever holds a
    lease of it is being ended. `is_kept`: it is neither being joined (`is_joining`) nor being left.
    """

    name: str
    host_id: int
    path: str
    offset: int
    generation: int
    io_timeout: int
    renewed_at: int
    is_kept: bool
    is_lost: bool
    is_joining: bool = False


@attrs.frozen(kw_only=True)
class Held:
    """A lease that a process of this host has, by its number; `version` as of when it was taken."""

    lockspace: str
    resource: str
    pid: int
    version: int


@attrs.frozen(kw_only=True)
class DaemonStatus:
    """
    A daemon; `now` is its clock. `name` is what it writes to host ids' leases (its -e).

    `incarnation` tells it from one that is started in its place: the number of its helper process.
    `watchdog` and `kill_grace` are in seconds of its clock. Releases before 3.9 show neither: their
    watchdog's time is a constant, and the grace is not known (None). `clients` are the processes
    that have registered, by their numbers, and `held` the leases that they have.
    """

    name: str
    incarnation: int
    has_watchdog: bool
    now: int
    spaces: tuple[Space, ...]
    watchdog: int = WATCHDOG
    kill_grace: Optional[int] = None
    clients: frozenset[int] = frozenset()
    held: tuple[Held, ...] = ()


@attrs.frozen(kw_only=True)
class SeenHost:
    """
    A host as this host's daemon sees it.

    `timestamp` is on that host's own clock, 0: it gave its id back. `last_live` is when the daemon
    last saw it change, on the daemon's clock; `io_timeout` is that host's.
    """

    generation: int
    timestamp: int
    last_live: int
    io_timeout: int


@attrs.frozen(kw_only=True)
class Leader:
    """
    A lease as it stands on the storage; `timestamp` 0: nobody's.

    `name` is the owner's daemon's (of a host id), or the resource's. `version` grows by one each
    time that the lease is taken.
    """

    owner: int
    generation: int
    timestamp: int
    name: str
    version: int = 0


class SanlockDaemon:
    """
    The daemon that `settings` name, and the leases that it looks after.

    All methods end within `settings.wait_s` seconds, save where the storage hangs in the kernel.
    They raise `LockspaceError`s: `SanlockDownError`, `SanlockSilentError`, `SanlockMissingError`,
    and those of `daemon.errors`.
    """

    def __init__(self, settings: SanlockSettings) -> None:
        self._settings = settings

    def status(self) -> DaemonStatus:
        """Ask the daemon how it is and which lockspaces it has."""
        words = ("client", "status", "-D")
        text = self._ask(*words)
        with _understood(words, text):
            head, *blocks = _blocks(text, ("daemon ", "s ", "p ", "r "))
            return DaemonStatus(
                name=head[1].get("our_host_name", ""),
                incarnation=int(head[1].get("helper_pid", "0")),
                has_watchdog=head[1].get("use_watchdog") == "1",
                now=int(head[1]["monotime"]),
                spaces=tuple(_space(*each) for each in blocks if each[0].startswith("s ")),
                clients=frozenset(
                    int(title.split()[1]) for title, _ in blocks if _CLIENT.match(title)
                ),
                held=tuple(
                    _held(title, fields)
                    for title, fields in blocks
                    if title.startswith("r ") and fields["list"] == "held"
                ),
                watchdog=int(head[1].get("watchdog_fire_timeout", WATCHDOG)),
                kill_grace=_number_or_none(head[1].get("kill_grace_seconds")),
            )

    def hosts(self) -> dict[int, SeenHost]:
        """Ask which hosts the daemon sees; none in the first seconds after joining."""
        words = ("client", "host_status", "-s", self._settings.lockspace, "-D")
        text = self._ask(*words)
        with _understood(words, text):
            return {
                int(fields["owner_id"]): SeenHost(
                    generation=int(fields["owner_generation"]),
                    timestamp=int(fields["timestamp"]),
                    last_live=int(fields["last_live"]),
                    io_timeout=int(fields["io_timeout"]),
                )
                for _, fields in _blocks(text, ("",))
            }

    def host_id_lease(self, host_id: int) -> Leader:
        """Read the lease of a host id from the storage; needs no daemon."""
        at = self._settings
        lease = f"{at.lockspace}:{host_id}:{_escaped(at.path)}:{at.offset}"
        return self._read_leader("-s", lease, f"read host id {host_id} in {at.path}")

    def engine_lease(self) -> Leader:
        """Read the engine's lease from the storage; needs no daemon."""
        what = f"read the engine's lease in {self._settings.resource_path}"
        return self._read_leader("-r", self._engine_lease, what)

    @property
    def _engine_lease(self) -> str:
        at = self._settings
        return f"{at.lockspace}:{at.resource}:{_escaped(at.resource_path)}:{at.resource_offset}"

    def acquire_for(self, pid: int) -> None:
        """Take the engine's lease for a process that has registered with the daemon."""
        what = f"take the engine's lease for process {pid}"
        text = self._run("client", "acquire", "-r", self._engine_lease, "-p", str(pid)).stdout
        found = _ACQUIRE_RESULT.search(text)
        if found is None:
            self.check_running()
            msg = f"{what}: sanlock refuses"
            raise LockspaceError(msg)
        if found[1] != "0":
            raise self._refusal(what, int(found[1]), PICKING_UP)

    def check_running(self) -> None:
        """Raise the error that says why the daemon can't be talked to, if it can't."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(self._settings.wait_s)
            try:
                probe.connect(str(Path(self._settings.run_dir) / SOCKET))
            except socket.timeout as error:
                raise silence(self._settings.run_dir) from error
            except OSError as error:
                what = f"talk to sanlock in {self._settings.run_dir}"
                detail = error.strerror or ""
                raise refusal(what, error.errno or 0, CONNECTING, detail) from error

    def _read_leader(self, option: str, lease: str, what: str) -> Leader:
        area = (
            "-Z",
            str(self._settings.sector_bytes),
            "-A",
            f"{self._settings.align_bytes >> 20}M",
        )
        text = self._run("direct", "read_leader", option, lease, *area).stdout
        found = _READ_RESULT.match(text)
        if found is None:
            msg = f"{what}: sanlock can't read it"
            raise LockspaceError(msg)
        if found[1] != "0":
            raise self._refusal(what, int(found[1]), READING)
        with _understood(("direct", "read_leader"), text):
            fields = dict(_pair(line, " ") for line in text.splitlines()[1:])
            # sanlock itself goes by what is on the storage, whatever its options say.
            if fields["sector_size"] != str(self._settings.sector_bytes):
                raise refusal(what, sanlock_errors.OTHER_SECTORS, READING)
            return Leader(
                owner=int(fields["owner_id"]),
                generation=int(fields["owner_generation"]),
                timestamp=int(fields["timestamp"]),
                name=fields["resource_name"],
                version=int(fields["lver"]),
            )

    @staticmethod
    def _refusal(what: str, number: int, meanings: Mapping[int, Meaning]) -> LockspaceError:
        # The system's numbers are negative here, and positive in the module.
        number = number if number <= sanlock_errors.FIRST else -number
        return refusal(what, number, meanings, os.strerror(abs(number)))

    def _ask(self, *words: str) -> str:
        done = self._run(*words)
        if done.returncode:
            self.check_running()
            msg = f"sanlock {' '.join(words)} failed: {done.stderr.strip() or done.returncode}"
            raise LockspaceError(msg)
        return done.stdout

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        program = shutil.which("sanlock") or shutil.which("sanlock", path=_FOLDERS)
        if program is None:
            msg = "the command sanlock is missing; install the system's package sanlock"
            raise SanlockMissingError(msg)
        try:
            return subprocess.run(  # noqa: S603 - a list of words, and no shell
                [program, *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._settings.wait_s,
                check=False,
                text=True,
                errors="replace",
                env={**os.environ, RUN_DIR_VARIABLE: self._settings.run_dir},
            )
        except subprocess.TimeoutExpired as error:
            raise silence(self._settings.run_dir) from error
        except OSError as error:
            # For want of memory, descriptors or processes: that may be over a moment later.
            msg = f"the command sanlock can't be started: {error.strerror or error}"
            raise LockspaceError(msg, error.errno) from error


def _number_or_none(text: Optional[str]) -> Optional[int]:
    return None if text is None else int(text)


@contextmanager
def _understood(words: Sequence[str], text: str) -> Iterator[None]:
    """Turn an answer that is not as expected into a `LockspaceError` that shows it."""
    try:
        yield
    except (KeyError, IndexError, ValueError) as error:
        beginning = " ".join(text.split())[:_SHOWN]
        msg = f"the answer of sanlock {' '.join(words)} is not understood: {beginning!r}"
        raise LockspaceError(msg) from error


def _escaped(path: str) -> str:
    """Write a path as sanlock's command wants it, for whom a colon ends a field."""
    return path.replace(":", "\\:")


def _unescaped(path: str) -> str:
    """Return the path that sanlock's command has written."""
    return path.replace("\\:", ":")


def _space(title: str, fields: Fields) -> Space:
    _, _, place = title.partition(" ")
    name, host_id, disk = place.strip().split(":", 2)
    path, _, last = disk.rpartition(":")
    # ADD or REM may follow: it is being joined, or left.
    offset, _, change = last.partition(" ")
    return Space(
        name=name,
        host_id=int(host_id),
        path=_unescaped(path),
        offset=int(offset),
        generation=int(fields["host_generation"]),
        io_timeout=int(fields["io_timeout"]),
        renewed_at=int(fields["renewal_last_success"]),
        is_kept=not change and fields["list"] == "spaces",
        is_joining=fields["list"] == "add",
        is_lost=any(
            fields.get(key, "0") != "0" for key in ("space_dead", "killing_pids", "corrupt_result")
        ),
    )


def _held(title: str, fields: Fields) -> Held:
    # Names have no colon, as a path may; a process's number ends the line.
    place, _, pid = title[2:].rpartition(" p ")
    lockspace, resource, _ = place.split(":", 2)
    return Held(lockspace=lockspace, resource=resource, pid=int(pid), version=int(fields["lver"]))


def _blocks(text: str, titles: tuple[str, ...]) -> list[tuple[str, Fields]]:
    """Return the blocks of a text: an unindented title that begins so, and the fields below it."""
    found: list[tuple[str, Fields]] = []
    fields: Optional[Fields] = None
    for line in text.splitlines():
        if not line.startswith(" "):
            fields = {} if line.startswith(titles) else None
            if fields is not None:
                found.append((line, fields))
        elif fields is not None:
            key, value = _pair(line.strip(), "=")
            fields[key] = value
    return found


def _pair(line: str, between: str) -> tuple[str, str]:
    key, _, value = line.partition(between)
    return key, value
